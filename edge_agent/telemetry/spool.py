"""`spool.db`: telemetry and predictions that the bridge has not acknowledged yet. SQLite, write-ahead log.

Rules:
- A row leaves only on the bridge's own acknowledgement, or when a bound is passed and then counted: MQTT's PUBACK says
  that a broker has it in memory, not that it was stored.
- Bounded in bytes and in age. The oldest telemetry goes first, for its counters are cumulative and the next window
  repeats them; predictions go only when no telemetry is left. State (availability, info, reported) is never in here:
  it is published again on every connect, so it cannot be lost in a queue.
- A message's key `(session, sequence)` and `oldest` are given here. A body is encoded once, when it is put: its JSON is
  stored with a key of zeros in it, and each time it is sent the key of that moment takes their place.
- A sequence is never used twice (AUTOINCREMENT), and survives a killed process. With synchronous=NORMAL a power cut
  may take the last moments, never the file.
- A row that cannot be read any more, after a flipped bit, goes to the table `damaged`, is counted as dropped and said;
  what is behind it is sent.
- Age is time that passed, not what the clock says: when the clock is set, what this run stored moves with it, and what
  an earlier run stored counts from this run's start, for no clock says for how long the board was off.
- A disk that refuses never stops the camera: what cannot be written is counted as dropped. A spool that cannot even be
  opened holds nothing, and is tried again.

One thread uses a spool. Not here: sending (`delivery`).
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from edge_agent.telemetry.settings import SpoolSettings
from edge_contract import limits
from edge_contract.errors import MessageError
from edge_contract.messages import Ack, Key, Prediction, PredictionBody, Telemetry, TelemetryBody, decode, encode

Body = TelemetryBody | PredictionBody
Kind = Literal["telemetry", "prediction"]

_KINDS: Final[dict[type, Kind]] = {TelemetryBody: "telemetry", PredictionBody: "prediction"}
_CONTRACT: Final[dict[str, type[Telemetry | Prediction]]] = {"telemetry": Telemetry, "prediction": Prediction}
_NO_KEY: Final = b'"sequence":0,"oldest":[0,0]'
"""Where the key goes. What stands before it in a row are ids and the session, which cannot contain it."""
_ROW_BYTES: Final = 64
"""What SQLite keeps beside a message's own bytes: row header, keys and a share of the page."""
_TRIM_TO: Final = 0.95
"""A full spool is trimmed to this share of its bytes, so that not every message trims."""
_WAL_BYTES: Final = 1 << 20
_DAMAGED_ROWS: Final = 100
"""Damaged rows kept to be looked at; the oldest go first."""
_LAST_SEQUENCE: Final = 2**62
"""A counter past it was damaged: at 2**63 - 1 SQLite stores nothing any more."""
_AGAIN_S: Final = 5.0  # after the file could not be opened
_STEP_S: Final = 5.0
"""A clock that moved this much more than time passed was set."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS message (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_kind ON message (kind, sequence);
CREATE TABLE IF NOT EXISTS damaged (sequence INTEGER PRIMARY KEY, session, kind, created, body, reason TEXT NOT NULL);
"""

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One message as it is to be sent."""

    key: Key
    kind: Kind
    payload: bytes
    """Its JSON, with its key."""


class Spool:
    """The database, open; see the module."""

    def __init__(
        self,
        path: Path,
        settings: SpoolSettings,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds since 1970, which may be set; `monotonic`: seconds that passed.

        A damaged file is put aside and begun anew.
        """
        self._path, self._settings, self._clock, self._monotonic = path, settings, clock, monotonic
        self._wall, self._passed = clock(), monotonic()
        self._last = 0  # the highest sequence that this run gave
        self.dropped: dict[Kind, int] = {"telemetry": 0, "prediction": 0}
        """Messages that passed a bound or could not be written, since the start."""
        self._try_again: float | None = None  # monotonic; None: the file is open
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _opened(path)
        except (sqlite3.Error, OSError) as error:
            _log.error("the spool %s cannot be opened (%s): nothing is kept until it can; check the disk", path, error)
            self._database, self._try_again = _nothing(), self._passed + _AGAIN_S
        self._begin()

    @property
    def trouble(self) -> str:
        """Why nothing is kept; empty while the file is open."""
        return "" if self._try_again is None else f"the spool {self._path} cannot be opened: check the disk."

    def reopen(self) -> None:
        """The file turned out to be damaged: look at it again, and begin anew where it is.

        Raises:
            sqlite3.Error, OSError: the disk refuses.
        """
        if self._try_again is None:
            self._database.close()
        self._database, self._try_again = _opened(self._path), None
        self._begin()

    def close(self) -> None:
        """Close the database; every message stays in it."""
        self._database.close()

    def put(self, body: Body, session: int) -> int | None:
        """Store a message of this session and return its sequence; None when it was dropped, which is counted."""
        kind = _KINDS[type(body)]
        try:
            stored = b'{"session":%d,%b,%b' % (session, _NO_KEY, encode(body).removeprefix(b"{"))
        except MessageError as error:
            self.dropped[kind] += 1
            _log.warning("a %s message is dropped: %s", kind, error)
            return None
        self._follow_clock()
        self._come_back()
        try:
            cursor = self._database.execute(
                "INSERT INTO message (session, kind, created, body) VALUES (?, ?, ?, ?)",
                (session, kind, self._clock(), stored),
            )
        except sqlite3.Error as error:
            self.dropped[kind] += 1
            _log.warning("a %s message is dropped: the spool cannot store it (%s); check the disk", kind, error)
            return None
        self._last = cursor.lastrowid or self._last
        self.bytes += len(stored) + _ROW_BYTES
        self.rows += 1
        if self.bytes > self._settings.max_bytes:
            self._trim()
        return cursor.lastrowid

    def after(self, sequence: int, limit: int) -> list[Row]:
        """The next `limit` rows after this sequence, in order, as they are to be sent now."""
        found = self._database.execute(
            "SELECT session, sequence, kind, body FROM message WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (sequence, limit),
        ).fetchall()
        whole = [row for row in found if not self._put_aside(row)]
        oldest = self.oldest()
        return [Row((session, number), kind, _with_key(body, number, oldest)) for session, number, kind, body in whole]

    def oldest(self) -> Key:
        """The key of the oldest message still held; (0, 0) in an empty spool."""
        row = self._database.execute("SELECT session, sequence FROM message ORDER BY sequence LIMIT 1").fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def waiting_since(self) -> float | None:
        """Since when the oldest message waits, by `monotonic`; None in an empty spool.

        What an earlier run stored waits since this run began: no clock says for how long the board was off.
        """
        self._follow_clock()
        row = self._database.execute("SELECT sequence, created FROM message ORDER BY sequence LIMIT 1").fetchone()
        if row is None:
            return None
        sequence, created = row
        if sequence < self._first or not isinstance(created, float):
            return self._opened
        return max(self._opened, self._passed - max(0.0, self._wall - created))

    def count_up_to(self, sequence: int) -> int:
        """How many messages with this or a lower sequence are still held."""
        (count,) = self._database.execute("SELECT count(*) FROM message WHERE sequence <= ?", (sequence,)).fetchone()
        return int(count)

    def acknowledge(self, ack: Ack) -> int:
        """Delete what the bridge stored, up to this key, and return how many messages that were.

        A key of an earlier session is lower than every message of this one, so it deletes none of them. One of a later
        session deletes nothing behind it: sessions may go back, where the clock did and `state.db` was lost.
        """
        return self._delete("session <= ? AND sequence <= ?", (ack.session, ack.sequence))

    def refuse(self, row: Row) -> None:
        """Drop and count a message that no broker takes: it would hold back everything behind it for ever."""
        self.dropped[row.kind] += self._delete("sequence = ?", (row.key[1],))

    def expire(self) -> None:
        """Drop and count what is older than the settings allow."""
        self._follow_clock()
        before = self._clock() - self._settings.max_age_s
        earlier = self._first if self._monotonic() - self._opened > self._settings.max_age_s else 0
        for kind in self.dropped:
            self.dropped[kind] += self._delete("kind = ? AND sequence < ?", (kind, earlier))
            self.dropped[kind] += self._delete(
                "kind = ? AND sequence >= ? AND created < ?", (kind, self._first, before)
            )

    def _begin(self) -> None:
        """What is held, and where this run's own messages begin."""
        (last,) = self._database.execute("SELECT coalesce(max(sequence), 0) FROM message").fetchone()
        if last < self._last:  # begun anew within a run: its session may not use a sequence twice
            self._database.execute("DELETE FROM sqlite_sequence WHERE name = 'message'")
            self._database.execute("INSERT INTO sqlite_sequence VALUES ('message', ?)", (self._last,))
        self._first, self._opened = max(last, self._last) + 1, self._monotonic()
        self.bytes, self.rows = self._measure()

    def _come_back(self) -> None:
        """Open the file that could not be opened at the start, if it can be now."""
        if self._try_again is None or self._monotonic() < self._try_again:
            return
        try:
            self.reopen()
        except (sqlite3.Error, OSError):
            self._try_again = self._monotonic() + _AGAIN_S

    def _follow_clock(self) -> None:
        """Move what this run stored with a clock that was set, as by NTP's first answer after the start."""
        wall, passed = self._clock(), self._monotonic()
        step = (wall - self._wall) - (passed - self._passed)
        self._wall, self._passed = wall, passed
        if abs(step) <= _STEP_S:
            return
        try:
            self._database.execute("UPDATE message SET created = created + ? WHERE sequence >= ?", (step, self._first))
        except sqlite3.Error as error:
            _log.warning("messages in the spool keep the time of a clock that was set (%s); check the disk", error)

    def _put_aside(self, row: tuple[int, int, str, bytes]) -> bool:
        """Move a row that is damaged out of the way; whether it was."""
        session, number, kind, body = row
        reason = _damage(session, number, kind, body)
        if not reason:
            return False
        self._database.execute(
            "INSERT OR REPLACE INTO damaged SELECT sequence, session, kind, created, body, ? FROM message"
            " WHERE sequence = ?",
            (reason, number),
        )
        self._database.execute(
            "DELETE FROM damaged WHERE sequence <= (SELECT max(sequence) FROM damaged) - ?", (_DAMAGED_ROWS,)
        )
        counted: Kind = "prediction" if kind == "prediction" else "telemetry"
        self.dropped[counted] += self._delete("sequence = ?", (number,))
        _log.warning("message %d in the spool is damaged and was put aside: %s", number, reason)
        return True

    def _trim(self) -> None:
        goal = self._settings.max_bytes * _TRIM_TO
        for kind in self.dropped:  # telemetry first
            while self.bytes > goal:
                victims = "SELECT sequence FROM message WHERE kind = ? ORDER BY sequence LIMIT 64"
                gone = self._delete(f"sequence IN ({victims})", (kind,))
                self.dropped[kind] += gone
                if gone == 0:
                    break

    def _delete(self, where: str, values: tuple[object, ...]) -> int:
        try:
            gone = self._database.execute(f"DELETE FROM message WHERE {where} RETURNING length(body)", values)  # noqa: S608
            sizes = [size for (size,) in gone.fetchall()]
        except sqlite3.Error as error:
            _log.warning("messages cannot be deleted from the spool (%s); check the disk", error)
            return 0
        self.bytes -= sum(sizes) + _ROW_BYTES * len(sizes)
        self.rows -= len(sizes)
        return len(sizes)

    def _measure(self) -> tuple[int, int]:
        size, rows = self._database.execute("SELECT coalesce(sum(length(body)), 0), count(*) FROM message").fetchone()
        return size + _ROW_BYTES * rows, rows


def _with_key(body: bytes, sequence: int, oldest: Key) -> bytes:
    """A stored message with its key of this moment."""
    return body.replace(_NO_KEY, b'"sequence":%d,"oldest":[%d,%d]' % (sequence, *oldest), 1)


def _damage(session: object, sequence: int, kind: object, body: object) -> str:
    """Why this row is no message that a bridge would read; empty when it is one."""
    contract = _CONTRACT.get(str(kind))
    if contract is None or not isinstance(session, int) or not isinstance(body, bytes):
        return "a column is none that is ever written"
    if len(body) > limits.MESSAGE_BYTES:
        return ""  # no damage, but nothing to send either: the delivery says so
    try:
        message = decode(_with_key(body, sequence, (session, sequence)), contract)
    except MessageError as error:
        return error.problem
    return "" if (message.session, message.sequence) == (session, sequence) else "its key is another's"


def _nothing() -> sqlite3.Connection:
    """In the place of a file that cannot be opened: empty, and it takes nothing."""
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    database.executescript(_SCHEMA)
    database.execute("PRAGMA query_only = ON")
    return database


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        _log.warning("%s is damaged (%s): put aside as %s.damaged, beginning a new one", path, error, path.name)
        path.replace(path.with_name(f"{path.name}.damaged"))
        for leftover in (f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(leftover).unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        database.executescript(_SCHEMA)
        database.text_factory = lambda text: text.decode("utf-8", "replace")  # one damaged text fails no other row
        database.execute(
            "DELETE FROM sqlite_sequence WHERE typeof(seq) != 'integer' OR seq NOT BETWEEN 0 AND ?", (_LAST_SEQUENCE,)
        )
    except BaseException:
        database.close()
        raise
    return database
