"""`state.db`: what the device must not forget in a power cut. SQLite, write-ahead log, every commit on the disk.

One row holds the update's state, so a transition is one transaction. Beside it: digests that failed here, the desired
states accepted so far, the session number, the time, and the ids of the keys that signed these. A database that cannot
be read is put aside and begun anew: the slots on disk say what ran, and revisions and sessions grow from the clock. So
does a single row, after a flipped bit: it goes to the table `damaged`, is said, and counts as one that was never
written.

A disk that is full, fails or takes nothing when the agent starts does not keep the camera dark: what is on it is read,
the model that proved itself runs, and each transaction tries again to open the file.
"""

import contextlib
import logging
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from edge_agent.trust.clock import SignedTime
from edge_agent.trust.evidence import KeyIds
from edge_agent.update.machine import State
from edge_contract.errors import EdgewiseError
from edge_contract.messages import Count, Seconds
from edge_contract.trust import DesiredState

_T = TypeVar("_T")
_VERSION: Final = 2
_LAST_VERSION: Final = 100
"""No agent will write a higher one: what passes it was damaged."""
_BUSY_S: Final = 10.0  # how long another process (`edgewise-agent status`) may hold the database
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS one (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS failed (
    digest TEXT NOT NULL, runtime TEXT NOT NULL, reason TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (digest, runtime)
) STRICT;
CREATE TABLE IF NOT EXISTS seen (what TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS desired (scope TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS signers (what TEXT PRIMARY KEY, keys BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS damaged (what TEXT PRIMARY KEY, value, reason TEXT NOT NULL);
"""
_MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108  # a private folder in it, for the copy of a moment
_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"

_log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """A model failed here."""

    reason: str
    revision: int
    """Of the desired state under which it did."""


class TestedFactory(NamedTuple):
    """A factory package that passed its self-test here."""

    digest: str
    """Of its manifest."""
    runtime: str
    """Name and version of what ran it."""


class StateStore:
    """The database; usable from any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or begin it.

        Raises:
            EdgewiseError: a newer agent wrote it, or the disk refuses.
        """
        self._lock = threading.RLock()
        self._path, self._read_only = path, read_only
        self._on_disk = True
        if read_only:
            self._database = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
            )
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open(path)
        except OSError as error:
            raise EdgewiseError(f"{path} cannot be made ({error})", remedy="check the disk and its owner") from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                self._database = self._content(error)
                return
            _log.warning("%s is damaged (%s): put aside as %s.damaged, beginning a new one", path, error, path.name)
            path.replace(path.with_name(f"{path.name}.damaged"))
            for leftover in (f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(leftover).unlink(missing_ok=True)
            self._database = _open(path)

    def _content(self, refusal: sqlite3.OperationalError) -> sqlite3.Connection:
        """What a file holds that cannot be opened for writing, in memory.

        Raises:
            EdgewiseError: there is no such file, or it cannot be read either.
        """
        try:
            database = _in_memory(self._path)
        except (sqlite3.Error, OSError):
            raise EdgewiseError(
                f"{self._path} cannot be opened ({refusal})", remedy="check the disk and its owner"
            ) from refusal
        self._on_disk = False
        _log.error("%s cannot be written (%s): what it holds was read, and it is tried again", self._path, refusal)
        return database

    def _come_back(self) -> None:
        """Open the file that could not be written when the agent started.

        Raises:
            sqlite3.Error: it still cannot.
        """
        database = _open(self._path)
        self._database.close()
        self._database, self._on_disk = database, True

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on the disk when the block ends, or nothing of it."""
        with self._lock:
            if not self._on_disk:
                self._come_back()
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # Some refusals of the disk have ended it already, and one that a commit left open would stop the next.
                if self._database.in_transaction:
                    with contextlib.suppress(sqlite3.Error):  # the first reason is the one to say
                        self._database.execute("ROLLBACK")
                raise

    def next_session(self, now: Callable[[], float] = time.time) -> int:
        """A number higher than any before, for one run of the agent.

        While the disk refuses it is not kept: then only the clock makes the next one higher.
        """
        session = 0
        try:
            with self.transaction():
                session = max((self._get("session", Count) or 0) + 1, int(now()))
                self._put("session", session)
        except sqlite3.Error as error:
            _log.error("the session's number cannot be kept (%s); check the disk", error)
            session = session or max((self._get("session", Count) or 0) + 1, int(now()))
        return session

    def update(self) -> State | None:
        """The update's state; None in a new database."""
        return self._get("update", State)

    def save_update(self, state: State) -> None:
        """Write the update's state; inside `transaction`."""
        self._put("update", state)

    def time(self) -> SignedTime:
        """The time that was signed and kept last; without signers where an earlier agent kept it."""
        return SignedTime(self._get("time", Seconds) or 0.0, self.signers("time"))

    def save_time(self, time: SignedTime) -> None:
        """Keep it; inside `transaction`."""
        self._put("time", time.seconds)
        self._save_signers("time", time.signers)

    def tested_factory(self) -> TestedFactory | None:
        """The factory package that passed its self-test here last; None if none did."""
        return self._get("tested_factory", TestedFactory)

    def save_tested_factory(self, tested: TestedFactory) -> None:
        """Note that one did; inside `transaction`."""
        self._put("tested_factory", tested)

    def failure(self, digest: str, runtime: str) -> Failure | None:
        """How this model failed on this device under this runtime; None if it did not."""
        with self._lock:
            row = self._database.execute(
                "SELECT reason, revision FROM failed WHERE digest = ? AND runtime = ?", (digest, runtime)
            ).fetchone()
        return Failure(str(row[0]), int(row[1])) if row is not None and isinstance(row[1], int) else None

    def remember_failure(self, digest: str, runtime: str, failure: Failure) -> None:
        """Note that it did; inside `transaction`. Another runtime may try again."""
        self._database.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?, ?)", (digest, runtime, *failure))

    def desired(self) -> dict[str, DesiredState]:
        """The newest desired state accepted, by scope."""
        with self._lock:
            rows = self._database.execute("SELECT scope, state FROM desired").fetchall()
        found = {scope: self._decoded(("desired", "scope", scope), state, DesiredState) for scope, state in rows}
        for scope, state in found.items():
            if state is not None and state.scope != scope:
                self._put_aside(("desired", "scope", scope), msgspec.json.encode(state), f"it is of {state.scope}")
                found[scope] = None
        for scope in (scope for scope, state in found.items() if state is None and not self._read_only):
            # Else the envelope that the broker retains would count as accepted, and nothing would be in force.
            self._database.execute("DELETE FROM seen WHERE what = ?", (scope,))
        return {scope: state for scope, state in found.items() if state is not None}

    def signers(self, what: str) -> KeyIds:
        """Ids of the keys that signed a scope's desired state, or the time; none where an earlier agent kept it."""
        with self._lock:
            if self._read_only and not self._database.execute(_TABLE, ("signers",)).fetchone():
                return ()  # an earlier agent's file, which a reader does not change
            row = self._database.execute("SELECT keys FROM signers WHERE what = ?", (what,)).fetchone()
            return () if row is None else self._decoded(("signers", "what", what), row[0], KeyIds) or ()

    def forget_desired(self, scope: str) -> None:
        """As if none had ever been accepted for this scope; inside `transaction`."""
        self._database.execute("DELETE FROM desired WHERE scope = ?", (scope,))
        for table in ("seen", "signers"):
            self._database.execute(f"DELETE FROM {table} WHERE what = ?", (scope,))  # noqa: S608  # our own names

    def save_desired(self, state: DesiredState, signers: KeyIds) -> None:
        """Keep it as the newest accepted one of its scope; inside `transaction`."""
        self._save_signers(state.scope, signers)
        self._database.execute(
            "INSERT OR REPLACE INTO desired VALUES (?, ?)", (state.scope, msgspec.json.encode(state))
        )

    def seen(self) -> dict[str, str]:
        """Digests of signed bytes that were verified and accepted, by what they are."""
        with self._lock:
            return dict(self._database.execute("SELECT what, digest FROM seen").fetchall())

    def save_seen(self, what: str, digest: str) -> None:
        """Note the digest of what was accepted; inside `transaction`."""
        self._database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (what, digest))

    def _save_signers(self, what: str, signers: KeyIds) -> None:
        self._database.execute("INSERT OR REPLACE INTO signers VALUES (?, ?)", (what, msgspec.json.encode(signers)))

    def _get(self, key: str, kind: type[_T]) -> _T | None:
        with self._lock:
            row = self._database.execute("SELECT value FROM one WHERE key = ?", (key,)).fetchone()
            return None if row is None else self._decoded(("one", "key", key), row[0], kind)

    def _decoded(self, row: tuple[str, str, str], value: object, kind: type[_T]) -> _T | None:
        """The value of a row, given as its table, key column and key; None where it is damaged."""
        if not isinstance(value, bytes | str):
            self._put_aside(row, value, f"it is of type {type(value).__name__}")
            return None
        try:
            return msgspec.json.decode(value, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._put_aside(row, value, str(error))
            return None

    def _put_aside(self, row: tuple[str, str, str], value: object, reason: str) -> None:
        table, column, key = row
        _log.warning("the row %r of %s in state.db is damaged (%s): put aside", key, table, reason)
        if self._read_only:
            return
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)", (f"{table}/{key}", value, reason))
            self._database.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))  # noqa: S608  # our own names

    def _put(self, key: str, value: object) -> None:
        self._database.execute("INSERT OR REPLACE INTO one VALUES (?, ?)", (key, msgspec.json.encode(value)))


def _in_memory(path: Path) -> sqlite3.Connection:
    """A copy of the database with what its log holds, of which nothing is written to its own disk.

    Raises:
        sqlite3.Error, OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    memory.text_factory = lambda text: text.decode("utf-8", "replace")
    for folder in (_MEMORY_DISK, Path(tempfile.gettempdir())):  # the second may be the very disk that refuses
        with contextlib.suppress(OSError, sqlite3.Error), tempfile.TemporaryDirectory(dir=folder) as name:
            copy = Path(name) / path.name
            shutil.copyfile(path, copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(f"{path.name}-wal"), copy.with_name(f"{path.name}-wal"))
            with contextlib.closing(_open(copy)) as source:
                source.backup(memory)
            return memory
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as source:
        source.backup(memory)  # without its log
    memory.executescript(_SCHEMA)
    return memory


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
    database.text_factory = lambda text: text.decode("utf-8", "replace")  # one damaged text fails no other row
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= _LAST_VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}")
        if version > _VERSION:
            raise EdgewiseError(
                f"{path} was written by a newer agent (version {version})",
                remedy="install that one again, or move the file away where there was none",
            )
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        if version == 1:
            database.execute("ALTER TABLE failed ADD COLUMN revision INTEGER NOT NULL DEFAULT 0")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database
