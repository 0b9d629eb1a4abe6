"""A SQLite database of the release side: write-ahead log, every commit on the disk, and a ledger that only grows.

A row that cannot be read is put aside in the table `damaged` and said; a whole database that cannot, under another
name, and a new one is begun. Readers need no lock while others write. Not here: what is kept (the stores).
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from edge_contract.errors import EdgewiseError, MessageError

_BUSY_S: Final = 10.0
_LEDGER: Final = """
CREATE TRIGGER IF NOT EXISTS ledger_unchanged BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER IF NOT EXISTS ledger_undeleted BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TABLE IF NOT EXISTS damaged (what TEXT PRIMARY KEY, value, reason TEXT NOT NULL);
"""
UNREADABLE: Final = (MessageError, msgspec.MsgspecError, ValueError, TypeError, RecursionError)
"""What the reader of a damaged row may raise."""

_log = logging.getLogger(__name__)


class Database:
    """See the module; usable from any thread. Stores build on it."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        """Open it, or begin it; `schema` makes its tables where they are not there, one of them called `ledger`.

        Raises:
            EdgewiseError: a newer version wrote it, or the disk refuses.
        """
        self._path, self._lock = path, threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _open(path, schema + _LEDGER, version)
        except sqlite3.OperationalError as error:
            raise EdgewiseError(f"{path} cannot be opened ({error})", remedy="check the disk and its owner") from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.damaged")
            _log.warning("%s is damaged (%s): put aside as %s, beginning a new one", path, error, aside.name)
            path.replace(aside)
            for leftover in (f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(leftover).unlink(missing_ok=True)
            self._connection = _open(path, schema + _LEDGER, version)

    def close(self) -> None:
        """End it."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on the disk when the outermost block ends, or nothing of it."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def damaged(self) -> dict[str, str]:
        """What was put aside, with the reason."""
        return dict(self._rows("SELECT what, reason FROM damaged"))

    def _run(self, statement: str, *values: object) -> int:
        """Execute; how many rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query, *values)), None)

    def _put_aside(self, what: str, value: object, reason: str) -> None:
        _log.warning(
            "%s in %s is damaged (%s): put aside; what devices run does not change", what, self._path.name, reason
        )
        self._run("INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)", what, value, reason)


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # one damaged text fails no other row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > version:
            raise EdgewiseError(
                f"{path} was written by a newer version (its format is {found})", remedy="install that one again"
            )
        damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        connection.executescript(schema)
        connection.execute(f"PRAGMA user_version = {version}")
    except BaseException:
        connection.close()
        raise
    return connection
