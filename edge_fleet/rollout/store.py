"""`rollouts.db`: every rollout of a repository. SQLite, write-ahead log, every commit on the disk.

A transition is one transaction: it reads the state, steps, writes it, and appends to the ledger. So it does not matter
who steps first, the controller or a person's command: each event meets the state that is there, once, in order. The
ledger only grows; the database itself refuses to change or delete a line. Readers need no lock while others write.

A row that cannot be read is put aside in the table `damaged` and said; a whole database that cannot, under another
name. What devices run stands in signed desired states and not here: none of them changes by that.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from edge_contract.errors import EdgewiseError, MessageError, UsageError
from edge_fleet.rollout import machine
from edge_fleet.rollout.events import Entry, Event
from edge_fleet.rollout.machine import State

FILE: Final = "rollouts.db"
"""In the release side's folder."""

_T = TypeVar("_T")
Part = Literal["evidence", "sighting"]
"""What is kept of a device: what its telemetry showed, and when it was seen how far."""

_VERSION: Final = 1
_BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rollout (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    running INTEGER NOT NULL, open INTEGER NOT NULL, state BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_a_group ON rollout (scope) WHERE running = 1;
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, rollout TEXT NOT NULL, who TEXT NOT NULL,
    action TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS ledger_unchanged BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER IF NOT EXISTS ledger_undeleted BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TABLE IF NOT EXISTS device (
    rollout TEXT NOT NULL, device TEXT NOT NULL, part TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (rollout, device, part)
) STRICT;
CREATE TABLE IF NOT EXISTS followed (
    model TEXT NOT NULL, scope TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (model, scope)
) STRICT;
CREATE TABLE IF NOT EXISTS damaged (what TEXT PRIMARY KEY, value, reason TEXT NOT NULL);
"""

_UNREADABLE: Final = (MessageError, msgspec.MsgspecError, ValueError, TypeError, RecursionError)

_log = logging.getLogger(__name__)


class Line(NamedTuple):
    """One line of the ledger."""

    time: float
    rollout: str
    who: str
    action: str
    text: str


class Followed(NamedTuple):
    """The champion of a model that was last dealt with for a group."""

    version: str
    """The registry's own number."""
    digest: str
    time: float


class RolloutStore:
    """The database; usable from any thread."""

    def __init__(self, directory: Path) -> None:
        """Open it in the release side's folder, or begin it.

        Raises:
            EdgewiseError: a newer version wrote it, or the disk refuses.
        """
        path = directory / FILE
        self._lock = threading.RLock()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.OperationalError as error:
            raise EdgewiseError(f"{path} cannot be opened ({error})", remedy="check the disk and its owner") from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.damaged")
            _log.warning("%s is damaged (%s): put aside as %s, beginning a new one", path, error, aside.name)
            path.replace(aside)
            for leftover in (f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(leftover).unlink(missing_ok=True)
            self._database = _open(path)

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> "RolloutStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on the disk when the outermost block ends, or nothing of it."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def begin(self, group: str, make: Callable[[str], State], now: float) -> State:
        """Keep a new rollout; `make` gives its first state for its id.

        Raises:
            UsageError: one runs in this group.
        """
        with self.transaction():
            if (running := self.running(group)) is not None:
                raise UsageError(
                    f"the rollout {running.id} of {running.release.name} {running.release.release} runs in group "
                    f"{group} already",
                    remedy=f"wait for it (`edgewise rollout status {running.id}`), abort it, or give --supersede",
                )
            row = self._database.execute("SELECT max(sequence) FROM rollout").fetchone()
            gone = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rollout'").fetchone()
            sequence = max(row[0] or 0, gone[0] if gone else 0) + 1
            state = make(f"{group[:48]}-{sequence}")
            self._database.execute(
                "INSERT INTO rollout (sequence, id, scope, running, open, state) VALUES (?, ?, ?, 1, 1, ?)",
                (sequence, state.id, group, msgspec.json.encode(state)),
            )
            waves = ", ".join(str(stage) for stage in state.stages)
            text = (
                f"{state.release.name} {state.release.release} in place of {state.rest.name} {state.rest.release} for "
                f"group {group}: {waves}."
            )
            self._append(state.id, Entry("start", text, state.by), now)
            return state

    def transition(self, rollout: str, event: Event, now: float) -> State | None:
        """Step a rollout; its state afterwards, or None where there is none with this id (or it is damaged)."""
        with self.transaction():
            state = self.get(rollout)
            if state is None:
                return None
            after, entries = machine.step(state, event)
            if after != state:
                running, open_ = after.phase not in machine.ENDED, machine.is_open(after)
                self._database.execute(
                    "UPDATE rollout SET running = ?, open = ?, state = ? WHERE id = ?",
                    (running, open_, msgspec.json.encode(after), rollout),
                )
            for entry in entries:
                self._append(rollout, entry, now)
            return after

    def get(self, rollout: str) -> State | None:
        """One rollout's state."""
        return next(iter(self._states("id = ?", rollout)), None)

    def running(self, group: str) -> State | None:
        """The rollout that runs in a group."""
        return next(iter(self._states("scope = ? AND running = 1", group)), None)

    def open(self) -> list[State]:
        """Those for which something is to be done, oldest first."""
        return self._states("open = 1")

    def all(self) -> list[State]:
        """Every rollout, oldest first."""
        return self._states("1 = 1")

    def ledger(self, rollout: str | None = None) -> list[Line]:
        """The ledger of one rollout or of all, oldest first."""
        with self._lock:
            found = self._database.execute(
                "SELECT time, rollout, who, action, text FROM ledger WHERE ? IN (rollout, '') ORDER BY sequence",
                (rollout or "",),
            )
            return [Line(*row) for row in found]

    def note(self, rollout: str, entry: Entry, now: float) -> None:
        """Append to the ledger what changes no state."""
        with self.transaction():
            self._append(rollout, entry, now)

    def devices(self, rollout: str, part: Part, read: Callable[[bytes], _T]) -> dict[str, _T]:
        """What is kept of the devices of a rollout, by device; a row that `read` refuses is as if it had never been."""
        with self._lock:
            rows = self._database.execute(
                "SELECT device, value FROM device WHERE rollout = ? AND part = ?", (rollout, part)
            ).fetchall()
        found = {}
        for device, value in rows:
            try:
                found[device] = read(value)
            except _UNREADABLE as error:
                self._put_aside(f"{rollout}/{device}/{part}", value, str(error))
                self._run("DELETE FROM device WHERE rollout = ? AND device = ? AND part = ?", rollout, device, part)
        return found

    def save_devices(self, rollout: str, part: Part, values: Mapping[str, bytes]) -> None:
        """Keep what changed, by device."""
        if not values:
            return
        with self.transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)",
                [(rollout, device, part, value) for device, value in values.items()],
            )

    def followed(self, model: str, group: str) -> Followed | None:
        """The champion of a model that was last dealt with for a group."""
        with self._lock:
            row = self._database.execute(
                "SELECT version, digest, time FROM followed WHERE model = ? AND scope = ?", (model, group)
            ).fetchone()
        return None if row is None else Followed(*row)

    def follow(self, model: str, group: str, followed: Followed) -> None:
        """Keep which champion was dealt with."""
        self._run("INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?, ?)", model, group, *followed)

    def damaged(self) -> dict[str, str]:
        """What was put aside, with the reason."""
        with self._lock:
            return dict(self._database.execute("SELECT what, reason FROM damaged"))

    def _states(self, where: str, *values: object) -> list[State]:
        with self._lock:
            rows = self._database.execute(
                f"SELECT id, state FROM rollout WHERE {where} ORDER BY sequence",  # noqa: S608  # our own words
                values,
            ).fetchall()
        found = []
        for rollout, value in rows:
            try:
                state = msgspec.json.decode(value, type=State)
                if state.id != rollout:
                    raise ValueError(f"it is of {state.id}")
                found.append(state)
            except _UNREADABLE as error:
                self._put_aside(rollout, value, str(error))
                self._run("DELETE FROM rollout WHERE id = ?", rollout)
        return found

    def _put_aside(self, what: str, value: object, reason: str) -> None:
        _log.warning("%s in %s is damaged (%s): put aside; no desired state changes by that", what, FILE, reason)
        self._run("INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)", what, value, reason)

    def _run(self, statement: str, *values: object) -> None:
        with self._lock:
            self._database.execute(statement, values)

    def _append(self, rollout: str, entry: Entry, now: float) -> None:
        self._database.execute(
            "INSERT INTO ledger (time, rollout, who, action, text) VALUES (?, ?, ?, ?, ?)",
            (now, rollout, entry.by, entry.action, entry.text),
        )


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
    database.text_factory = lambda text: text.decode("utf-8", "replace")  # one damaged text fails no other row
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise EdgewiseError(
                f"{path} was written by a newer version (its format is {version})", remedy="install that one again"
            )
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database
