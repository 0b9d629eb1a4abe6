"""`crops.db`: sealed crops that are not acknowledged yet, and when crops were kept in the last day. SQLite.

Rules:
- What is stored here is sealed already: who has the card has nothing to look at.
- A row leaves when it is acknowledged or refused by its name, when the bytes are passed, or when its consent ends.
- Bounded in bytes: uncertain faces go first, then disagreements, and random ones last, the oldest first. It seldom
  comes to that, for the sampler keeps less while there is less room.
- A row that cannot be sent any more, after a flipped bit, goes to the table `damaged`, is counted and said; a file that
  is no database is put aside as `crops.db.damaged`. Both are erased with the rest.
- A disk that refuses never stops the camera: what cannot be stored is counted as dropped.
- Crops of another consent than the one in force, or sealed to another key, are deleted when the box is opened.

One thread uses a box. Not here: sending (`sender`), erasing all (`erasure`).
"""

import logging
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from edge_agent.sampling.erasure import DAMAGED, NAME
from edge_contract import limits
from edge_contract.crop import CropName, Stratum, name_of, sealed_to

_ROW_BYTES: Final = 96
"""What SQLite keeps beside a crop's own bytes."""
_STRATA: Final = frozenset({"random", "uncertain", "disagreement"})
_DAMAGED_ROWS: Final = 20
_WAL_BYTES: Final = 1 << 20
_DAY_S: Final = 86400.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS crop (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    stratum TEXT NOT NULL,
    consent TEXT NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (session, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS kept (at REAL NOT NULL, stratum TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS damaged (id INTEGER PRIMARY KEY, session, sequence, stratum, consent, sealed, reason);
"""

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One crop as it is to be sent."""

    name: CropName
    payload: bytes


class Box:
    """The database, open; see the module."""

    def __init__(self, state_dir: Path, largest: int, *, consent: str, key: bytes) -> None:
        """`largest`: bytes of crops. `consent`, `key`: the marks of those that may be kept.

        Raises:
            sqlite3.Error, OSError: the disk refuses.
        """
        self._state_dir, self._largest, self._consent, self._key = state_dir, largest, consent, key
        self.dropped = self.bytes = self.rows = 0
        """Crops that were kept and passed a bound, were damaged, or lost their consent or key; and what is held."""
        self._database = _opened(state_dir)
        self._begin()

    def reopen(self) -> None:
        """The file turned out to be damaged: look at it again, and begin anew where it is.

        Raises:
            sqlite3.Error, OSError: the disk refuses.
        """
        before = self.rows + self.dropped
        self._database.close()
        self._database = _opened(self._state_dir)
        self._begin()
        self.dropped += max(0, before - self.rows - self.dropped)

    def last(self, session: int) -> int:
        """The highest sequence of this session that is held; 0 for none.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        found = self._database.execute("SELECT max(sequence) FROM crop WHERE session = ?", (session,)).fetchone()[0]
        return int(found or 0)

    def close(self) -> None:
        """Close the database; every crop stays in it."""
        self._database.close()

    def put(self, name: CropName, stratum: Stratum, consent: str, sealed: bytes, now: float) -> None:
        """Store a sealed crop, and that one was kept at `now`, seconds since 1970.

        Raises:
            sqlite3.Error: the disk refuses; nothing was stored.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "INSERT INTO crop (sequence, session, stratum, consent, sealed) VALUES (?, ?, ?, ?, ?)",
                (name.sequence, name.session, stratum, consent, sealed),
            )
            self._database.execute("INSERT INTO kept VALUES (?, ?)", (now, stratum))
            self._database.execute("DELETE FROM kept WHERE at <= ?", (now - _DAY_S,))
        self.bytes += len(sealed) + _ROW_BYTES
        self.rows += 1
        self._trim()

    def kept_since(self, now: float) -> list[tuple[float, Stratum]]:
        """When crops were kept in the day before `now`, in order; what lies behind a clock that was set back, as now.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        rows = self._database.execute("SELECT at, stratum FROM kept WHERE at > ? ORDER BY at", (now - _DAY_S,))
        return [(min(at, now), stratum) for at, stratum in rows if stratum in _STRATA]

    def waiting(self, sent: frozenset[CropName], limit: int) -> list[Row]:
        """The oldest crops that are not among `sent`.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        if limit <= 0:
            return []
        rows = self._database.execute(
            "SELECT id, session, sequence, sealed FROM crop ORDER BY id LIMIT ?", (len(sent) + limit,)
        ).fetchall()
        found: list[Row] = []
        for number, session, sequence, sealed in rows:
            name = CropName(session, sequence)
            if name in sent or len(found) == limit or self._put_aside(number, name, sealed):
                continue
            found.append(Row(name, sealed))
        return found

    def remove(self, name: CropName) -> bool:
        """Delete the crop of this name; whether there was one.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        return self._delete("session = ? AND sequence = ?", name) > 0

    def _begin(self) -> None:
        try:
            self.dropped += self._delete("consent != ?", (self._consent,))
            self.bytes, self.rows = self._measure()
            self._trim()
        except BaseException:
            self._database.close()
            raise

    def _put_aside(self, number: int, name: CropName, sealed: object) -> bool:
        """Move a row that is damaged, or sealed to another key, out of the way; whether it was."""
        if not isinstance(sealed, bytes) or len(sealed) > limits.CROP_BYTES:
            reason = "it is no crop"
        elif name_of(sealed) != name:
            reason = "its name is another's"
        elif sealed_to(sealed) != self._key:
            _log.warning("crop %s is deleted: it is sealed to another labelling key than the one of now", name.sequence)
            self.dropped += self._delete("id = ?", (number,))
            return True
        else:
            return False
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "INSERT OR REPLACE INTO damaged SELECT id, session, sequence, stratum, consent, sealed, ? FROM crop"
                " WHERE id = ?",
                (reason, number),
            )
            self._database.execute(
                "DELETE FROM damaged WHERE id NOT IN (SELECT id FROM damaged ORDER BY id DESC LIMIT ?)",
                (_DAMAGED_ROWS,),
            )
            self._database.execute("DELETE FROM crop WHERE id = ?", (number,))
        self.bytes, self.rows = self._measure()
        self.dropped += 1
        _log.warning("crop %s is damaged and was put aside: %s", name.sequence, reason)
        return True

    def _trim(self) -> None:
        victim = "SELECT id FROM crop ORDER BY stratum = 'random', stratum = 'disagreement', id LIMIT 1"
        while self.bytes > self._largest and (gone := self._delete(f"id = ({victim})", ())):
            self.dropped += gone

    def _delete(self, where: str, values: tuple[object, ...]) -> int:
        gone = self._database.execute(f"DELETE FROM crop WHERE {where} RETURNING id", values).fetchall()  # noqa: S608
        if gone:
            self.bytes, self.rows = self._measure()
        return len(gone)

    def _measure(self) -> tuple[int, int]:
        size, rows = self._database.execute("SELECT coalesce(sum(length(sealed)), 0), count(*) FROM crop").fetchone()
        return int(size) + _ROW_BYTES * int(rows), int(rows)


def _opened(state_dir: Path) -> sqlite3.Connection:
    path = state_dir / NAME
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        _log.warning("%s is damaged (%s): put aside as %s, beginning a new one", path, error, DAMAGED)
        path.replace(state_dir / DAMAGED)
        for leftover in (f"{NAME}-wal", f"{NAME}-shm"):
            (state_dir / leftover).unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA secure_delete = ON")  # what is deleted for its consent is gone from the file
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database
