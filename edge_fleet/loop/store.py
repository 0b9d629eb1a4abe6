"""`loop.db`: the loops of a repository, one a model, and the alerts that fire. SQLite, every commit on the disk.

A transition is one transaction: it reads the state, steps, writes it, and appends to the ledger, which the database
itself lets only grow. So it does not matter who steps, the loop's process or a person's command: each event meets the
state that is there, once, in order. Alerts are kept before their webhook is answered: a kill loses none.

A row that cannot be read is put aside in the table `damaged` and said, and a whole database that cannot under another
name. Then the loop begins anew: what runs on devices, and what rollouts do, stands elsewhere. A training that began
before is not known any more, and its folder is left.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from edge_contract.errors import EdgewiseError
from edge_fleet.loop import machine
from edge_fleet.loop.alerts import ALERTS, Alert
from edge_fleet.loop.events import Entry, Event
from edge_fleet.loop.state import OPEN, State

FILE: Final = "loop.db"
"""In the release side's folder."""
FORGET_S: Final = 7 * 86400.0
"""An alert that was not repeated for so long has ended, whatever became of the message that said so."""

_VERSION: Final = 1
_BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS loop (model TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alert (
    model TEXT NOT NULL, fingerprint TEXT NOT NULL, alert BLOB NOT NULL, received REAL NOT NULL, seen REAL NOT NULL,
    by_hand INTEGER NOT NULL, PRIMARY KEY (model, fingerprint)
) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, model TEXT NOT NULL, run TEXT NOT NULL,
    who TEXT NOT NULL, action TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS ledger_unchanged BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER IF NOT EXISTS ledger_undeleted BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TABLE IF NOT EXISTS damaged (what TEXT PRIMARY KEY, value, reason TEXT NOT NULL);
"""
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

_log = logging.getLogger(__name__)


class Line(NamedTuple):
    """One line of the ledger."""

    time: float
    model: str
    run: str
    who: str
    action: str
    text: str


class Firing(NamedTuple):
    """An alert that fires."""

    alert: Alert
    received: float
    """When it was told of first."""
    by_hand: bool


class LoopStore:
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

    def __enter__(self) -> "LoopStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self, model: str) -> State:
        """A model's loop as it stands; a new one where there is none."""
        with self._lock:
            row = self._database.execute("SELECT state FROM loop WHERE model = ?", (model,)).fetchone()
        if row is None:
            return State(model=model)
        try:
            found = msgspec.json.decode(row[0], type=State)
            if found.model != model:
                raise ValueError(f"it is of {found.model}")
            if found.current is not None and found.current.phase not in OPEN:
                raise ValueError(f"its run is {found.current.phase}")
        except _UNREADABLE as error:
            self._put_aside(f"loop/{model}", row[0], str(error))
            self._run("DELETE FROM loop WHERE model = ?", model)
            return State(model=model)
        return found

    def transition(self, model: str, event: Event, now: float) -> tuple[State, tuple[Entry, ...]]:
        """Step a model's loop; its state afterwards, and what was written into the ledger."""
        with self._transaction():
            state = self.state(model)
            after, entries = machine.step(state, event)
            if after != state:
                self._run("INSERT OR REPLACE INTO loop VALUES (?, ?)", model, msgspec.json.encode(after))
            for entry in entries:
                self._append(model, entry, now)
            return after, entries

    def take(
        self, model: str, firing: Iterable[Alert], resolved: Iterable[Alert], now: float, *, by_hand: bool = False
    ) -> int:
        """Keep which alerts fire; how many there was no room for."""
        with self._transaction():
            for alert in resolved:
                self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, alert.fingerprint)
            count = self._database.execute("SELECT count(*) FROM alert WHERE model = ?", (model,)).fetchone()[0]
            left_out = 0
            for alert in firing:
                data = msgspec.json.encode(alert)
                known = self._database.execute(
                    "UPDATE alert SET alert = ?, seen = ? WHERE model = ? AND fingerprint = ?",
                    (data, now, model, alert.fingerprint),
                ).rowcount
                if known:
                    continue
                if count >= ALERTS:
                    left_out += 1
                    continue
                count += 1
                self._run(
                    "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?)", model, alert.fingerprint, data, now, now, by_hand
                )
            return left_out

    def firing(self, model: str, now: float) -> list[Firing]:
        """Alerts that fire, the first received first; what was not repeated for long is forgotten."""
        with self._transaction():
            self._run("DELETE FROM alert WHERE model = ? AND seen < ?", model, now - FORGET_S)
            rows = self._database.execute(
                "SELECT fingerprint, alert, received, by_hand FROM alert WHERE model = ? "
                "ORDER BY received, fingerprint",
                (model,),
            ).fetchall()
            found = []
            for fingerprint, data, received, by_hand in rows:
                try:
                    found.append(Firing(msgspec.json.decode(data, type=Alert), received, bool(by_hand)))
                except _UNREADABLE as error:
                    self._put_aside(f"alert/{model}/{fingerprint}", data, str(error))
                    self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, fingerprint)
            return found

    def forget(self, model: str, fingerprints: Iterable[str]) -> None:
        """These alerts fire no more."""
        with self._transaction():
            for each in fingerprints:
                self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, each)

    def ledger(self, model: str, run: str = "") -> list[Line]:
        """A model's ledger, or that of one run, oldest first."""
        with self._lock:
            found = self._database.execute(
                "SELECT time, model, run, who, action, text FROM ledger WHERE model = ? AND ? IN (run, '') "
                "ORDER BY sequence",
                (model, run),
            )
            return [Line(*row) for row in found]

    def damaged(self) -> dict[str, str]:
        """What was put aside, with the reason."""
        with self._lock:
            return dict(self._database.execute("SELECT what, reason FROM damaged"))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
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

    def _put_aside(self, what: str, value: object, reason: str) -> None:
        _log.warning("%s in %s is damaged (%s): put aside", what, FILE, reason)
        self._run("INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)", what, value, reason)

    def _run(self, statement: str, *values: object) -> None:
        with self._lock:
            self._database.execute(statement, values)

    def _append(self, model: str, entry: Entry, now: float) -> None:
        self._run(
            "INSERT INTO ledger (time, model, run, who, action, text) VALUES (?, ?, ?, ?, ?, ?)",
            now, model, entry.run, entry.by, entry.action, entry.text,
        )  # fmt: skip


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
