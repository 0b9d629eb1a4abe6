"""The file of labels, opened: SQLite, apart from the prediction log, for its owner alone.

What is deleted is overwritten (`secure_delete`). The bridge and `edgewise labels` may have it open at the same time:
each transaction is short, and a writer waits for the other.

Not here: what is written and read (`crops`, `annotations`, `reading`, `erasure`).
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.labels.tables import SCHEMA, metadata, schema
from edge_bridge.storage.engine import LOCK_S, Database, StoreError
from edge_contract.errors import UsageError

_AGAIN_MS: Final = 200
"""For how long one try waits for readers."""


class LabelDatabase:
    """One file; connects on first use. Usable from any thread."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._database = Database(f"sqlite:///{file}")
        sa.event.listen(self._database.engine, "connect", _prepare)

    def create(self) -> None:
        """Make the file and its tables where they are missing.

        Raises:
            StoreError: it cannot be written, or is of a newer version.
        """
        with contextlib.suppress(OSError):  # what is wrong with it, the database says in its words
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self.transaction() as connection:
            metadata.create_all(connection)
            newest = connection.execute(sa.select(sa.func.max(schema.c.version))).scalar()
            if newest is None:
                connection.execute(sa.insert(schema), [{"version": SCHEMA}])
            elif newest > SCHEMA:
                raise StoreError(
                    f"{self._database.name} was written by a newer bridge (schema {newest})", remedy="upgrade this one"
                )

    def require(self) -> None:
        """Before a command: there is such a file, with its tables.

        Raises:
            UsageError: there is none.
            StoreError: it cannot be used.
        """
        if not self.file.is_file():
            raise UsageError(
                f"there are no labels in {self.file}",
                remedy="start the bridge with labels.key set, or name the file with --database",
            )
        self.create()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of the block or nothing; no other writer comes in between.

        Raises:
            StoreError: it could not be written or read.
        """
        with self._database.errors_named(), self._database.engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """The block sees the file as it was when it began, and holds no writer up.

        Raises:
            StoreError: it could not be read.
        """
        with self._database.errors_named(), self._database.engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def rewrite(self) -> None:
        """Write the file anew without what was deleted, and empty the log of changes: the bytes are gone from both.

        Raises:
            StoreError: another program reads it for so long that the log of changes could not be emptied.
        """
        with self._database.errors_named(), self._database.engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            # The copy that it makes is of what stays, and may be larger than the memory.
            connection.exec_driver_sql("PRAGMA temp_store=FILE")
            try:
                connection.exec_driver_sql("VACUUM")
            finally:
                connection.exec_driver_sql("PRAGMA temp_store=MEMORY")
            self._empty_log(connection)

    def empty_log(self) -> None:
        """Empty the log of changes, which holds pages as they were.

        Raises:
            StoreError: as `rewrite`.
        """
        with self._database.errors_named(), self._database.engine.connect() as plain:
            self._empty_log(plain.execution_options(isolation_level="AUTOCOMMIT"))

    def _empty_log(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_AGAIN_MS}")
        try:
            until = time.monotonic() + LOCK_S
            while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                if time.monotonic() > until:
                    raise StoreError(
                        f"{self.file}-wal could not be emptied, for another program reads {self.file}",
                        remedy="end that program, and run this again",
                    )
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={LOCK_S * 1000:.0f}")

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def _prepare(connection: Any, _record: object) -> None:
    for pragma in ("secure_delete=ON", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
