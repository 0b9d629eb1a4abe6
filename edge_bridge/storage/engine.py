"""The connection to the database: how it is opened on SQLite and PostgreSQL, and what its errors say."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.public_url import public_url, without_secrets

LOCK_S: Final = 10
"""Seconds a statement waits for a lock of another process: a backup, a shell."""
READ_S: Final = 600
"""Seconds a statement may take that reads the log: it may have to sort all of it."""
WAL_BYTES: Final = 64 * 1024 * 1024
"""What is left of SQLite's log of changes after a checkpoint; a large deletion makes it grow."""

_DAMAGED_FILE: Final = ("malformed", "not a database")
"""What SQLite says of a file whose pages are damaged."""


class StoreError(EdgewiseError):
    """The database could not be written or read; the text names the database, without its password."""


class Database:
    """One database by its URL; connects on first use."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """`read_only`: nothing is ever written or created, and a statement may take its time.

        Raises:
            UsageError: the driver for this database is not installed.
        """
        self._url = make_url(url)
        if self._url.drivername == "postgresql":
            self._url = self._url.set(drivername="postgresql+psycopg")
        self.name = public_url(url)
        self.file = _file(self._url)
        """The file of a SQLite database that is one."""
        try:
            self.engine = _engine(self._url, self.file, read_only=read_only)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise UsageError(
                f"{self.name} needs a driver that is not installed ({error})",
                remedy="run: pip install 'psycopg[binary]'",
            ) from error
        self._read_only = read_only

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite, and not PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def errors_named(self) -> Iterator[None]:
        """What the database refuses in this block becomes a `StoreError` that says what helps."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
            cause = without_secrets(cause, [self._url.render_as_string(hide_password=False)])
            whole = not any(text in cause for text in _DAMAGED_FILE)
            within_reach = f"make it reachable and {'readable' if self._read_only else 'writable'}"
            remedy = within_reach if whole else "restore it from a backup, or move it away"
            raise StoreError(f"database {self.name}: {cause}", remedy=remedy) from error

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _file(url: sa.URL) -> Path | None:
    named = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    return Path(str(url.database)).absolute() if named and not str(url.database).startswith("file:") else None


def _engine(url: sa.URL, file: Path | None, *, read_only: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        # Durable by default: synchronous_commit is on unless it is turned off for the whole server.
        options = f"-c lock_timeout={LOCK_S * 1000} -c statement_timeout={(READ_S if read_only else LOCK_S * 6) * 1000}"
        if read_only:
            options += " -c default_transaction_read_only=on"
        return sa.create_engine(
            url, pool_pre_ping=True, connect_args={"options": options, "connect_timeout": LOCK_S}, pool_size=2
        )
    arguments: dict[str, Any] = {"timeout": LOCK_S, "check_same_thread": False}
    if read_only and file is not None:
        url = url.set(database=file.as_uri(), query={"mode": "ro", "uri": "true"})
    engine = sa.create_engine(url, connect_args=arguments)

    def prepare(connection: Any, _record: object) -> None:
        connection.text_factory = lambda text: text.decode("utf-8", "replace")  # one damaged text fails no other row
        if read_only:
            connection.execute("PRAGMA query_only=ON").close()
            return
        # FULL: with NORMAL a power cut may take back a commit that was already acknowledged to a device.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", f"journal_size_limit={WAL_BYTES}"):
            connection.execute(f"PRAGMA {pragma}").close()

    sa.event.listen(engine, "connect", prepare)
    return engine
