"""The prediction log and what a bridge must remember, in one database: SQLite by default, PostgreSQL by URL.

One transaction holds a batch: its predictions, how far each device's messages are stored, and the records whose totals
include those messages. So an acknowledgement sent after the commit is true, and a bridge that was killed goes on with
every message counted exactly once. Predictions are unique by (device, session, sequence), so a
repeated one changes nothing.

SQL is here alone. Calls block; the intake's thread makes them, never the event loop.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from edge_bridge.drift.state import DriftState
from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_bridge.storage import records, size
from edge_bridge.storage.engine import Database, StoreError
from edge_bridge.storage.records import DamagedError
from edge_bridge.storage.tables import (
    SCHEMA,
    damaged,
    devices,
    drift,
    make_indexes,
    marks,
    metadata,
    predictions,
    schema,
    sums,
)
from edge_contract.messages import Prediction

__all__ = ["DELETE_ROWS", "Batch", "LoggedPrediction", "Remembered", "Store", "StoreError", "logged"]

DELETE_ROWS: Final = 20_000
"""Rows one retention step deletes, so that a step never holds the writer for long."""


class LoggedPrediction(NamedTuple):
    """A prediction and when the bridge received it, seconds since 1970."""

    message: Prediction
    received: float


class Remembered(NamedTuple):
    """What a bridge starts from."""

    devices: list[Device]
    progress: dict[str, Progress]
    sums: dict[Key, Sum]
    damaged: list[str]
    """What could not be read, one sentence each; it was put aside."""
    drift: list[DriftState]


class Batch(NamedTuple):
    """What one transaction writes."""

    predictions: Sequence[LoggedPrediction]
    progress: Mapping[str, Progress]
    devices: Mapping[str, Device | None]  # None deletes
    sums: Mapping[Key, Sum]
    drift: Mapping[str, DriftState | None] = MappingProxyType({})  # None deletes


class Store:
    """One database; see the module. Used by one thread at a time, except `recent`."""

    def __init__(self, url: str) -> None:
        """Connects on first use.

        Raises:
            UsageError: the driver for this database is not installed.
        """
        self._database = Database(url)
        self.name, self._engine = self._database.name, self._database.engine
        insert: Any = sqlite.insert if self._database.is_sqlite else postgresql.insert
        self._insert_predictions = insert(predictions).on_conflict_do_nothing()
        self._opened: tuple[int, int] | None = None
        self._upserts = {each.name: _upsert(insert, each) for each in (devices, marks, sums, drift, damaged, schema)}
        self._many = {
            name: _Many(statement, self._engine)
            for name, statement in {**self._upserts, "predictions": self._insert_predictions}.items()
        }

    def open(self, now: float) -> None:
        """Create what is missing and prove that it can be written.

        Raises:
            StoreError: the database is away, cannot be written, or is of a newer version.
        """
        self._opened = None
        with self._transaction() as connection:
            metadata.create_all(connection)
            make_indexes(connection)
            newest = connection.execute(sa.select(sa.func.max(schema.c.version))).scalar()
            if newest is not None and newest > SCHEMA:
                problem = f"{self.name} was written by a newer bridge (schema {newest})"
                raise StoreError(problem, remedy="upgrade this one")
            self._touch(connection, now)
        self._opened = self._identity()

    def touch(self, now: float) -> None:
        """Write something small: proof that the database can be written.

        Raises:
            StoreError: it cannot.
        """
        with self._transaction() as connection:
            self._touch(connection, now)

    def write(self, batch: Batch) -> None:
        """Commit a batch, all or nothing; predictions that are there already stay as they are.

        Raises:
            StoreError: nothing was written.
        """
        with self._transaction() as connection:
            if batch.predictions:
                self._many["predictions"].execute(connection, [_row(each) for each in batch.predictions])
            # In one order, so that two bridges on one database never wait for each other's rows.
            by_device: tuple[tuple[sa.Table, Mapping[str, msgspec.Struct | None]], ...] = (
                (devices, batch.devices), (marks, batch.progress), (drift, batch.drift)
            )  # fmt: skip
            for table, changed in by_device:
                gone = sorted(name for name, record in changed.items() if record is None)
                if gone:
                    connection.execute(sa.delete(table).where(table.c.device.in_(gone)))
                rows = [
                    {"device": name, "record": msgspec.json.encode(record)}
                    for name, record in sorted(changed.items())
                    if record is not None
                ]
                if rows:
                    self._many[table.name].execute(connection, rows)
            if batch.sums:
                self._many["sums"].execute(
                    connection,
                    [
                        {"site": key.site, "model": key.model, "record": msgspec.json.encode(total)}
                        for key, total in sorted(batch.sums.items())
                    ],
                )

    def remembered(self, now: float) -> Remembered:
        """The records of the last commit; a damaged one is moved to the table `damaged`, and the rest counts.

        Raises:
            StoreError: the database is away.
        """
        found = Remembered([], {}, {}, [], [])
        with self._transaction() as connection:
            for name, record in connection.execute(sa.select(devices.c.device, _as_it_is(devices.c.record))).all():
                with self._aside(connection, found, (devices, (name,), record), now):
                    found.devices.append(records.device(name, record))
            for name, record in connection.execute(sa.select(marks.c.device, _as_it_is(marks.c.record))).all():
                with self._aside(connection, found, (marks, (name,), record), now):
                    found.progress[name] = records.progress(name, record)
            of_sums = sa.select(sums.c.site, sums.c.model, _as_it_is(sums.c.record))
            for site, model, record in connection.execute(of_sums).all():
                with self._aside(connection, found, (sums, (site, model), record), now):
                    found.sums[records.key(site, model)] = records.total(record)
            for name, record in connection.execute(sa.select(drift.c.device, _as_it_is(drift.c.record))).all():
                with self._aside(connection, found, (drift, (name,), record), now):
                    found.drift.append(records.drift(name, record))
        return found

    def recent(self, limit: int) -> list[LoggedPrediction]:
        """The predictions received last, newest first; a damaged one is left out.

        Raises:
            StoreError: the database is away.
        """
        with self._transaction() as connection:
            rows = connection.execute(sa.select(predictions).order_by(predictions.c.received.desc()).limit(limit)).all()
        found = []
        for row in rows:
            with contextlib.suppress(DamagedError):
                found.append(logged(row))
        return found

    def forget(self, before: float, keep_rows: int, keep_bytes: int | None = None) -> int:
        """Delete at most `DELETE_ROWS` predictions: received before `before`, or past the newest that may be kept.

        `keep_bytes` bounds what predictions and their indexes take (`size`). The database uses the room again; it does
        not give it back to the disk.

        Raises:
            StoreError: nothing was deleted.
        """
        with self._transaction() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one()
            if keep_bytes is not None and count:
                keep_rows = min(keep_rows, int(keep_bytes / size.bytes_per_row(connection, count)))
            excess = count - keep_rows
            oldest = sa.select(predictions.c.received).order_by(predictions.c.received)
            if excess > 0:
                cut = connection.execute(oldest.offset(min(excess, DELETE_ROWS) - 1).limit(1)).scalar_one()
                before = max(before, cut)
            step = connection.execute(oldest.offset(DELETE_ROWS).limit(1)).scalar()
            last = before if step is None else min(before, step)
            return max(connection.execute(sa.delete(predictions).where(predictions.c.received <= last)).rowcount, 0)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @contextlib.contextmanager
    def _aside(
        self, connection: Connection, found: Remembered, row: tuple[sa.Table, tuple[Any, ...], Any], now: float
    ) -> Iterator[None]:
        """Read one row, given as its table, key and record; move it to `damaged` when that fails."""
        table, key, record = row
        try:
            yield
        except DamagedError as error:
            name = "/".join(map(str, key))[:256]
            kept = record if isinstance(record, bytes) else str(record).encode()
            found.damaged.append(f"the record of {name!r} in table {table.name}: {error}")
            connection.execute(
                self._upserts["damaged"],
                [{"kind": table.name, "name": name, "record": kept, "reason": str(error), "found": now}],
            )
            columns = zip(table.primary_key, key, strict=True)
            connection.execute(sa.delete(table).where(*(column == value for column, value in columns)))

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._database.file.stat() if self._database.file is not None else None
        except OSError:
            found = None
        return None if found is None else (found.st_dev, found.st_ino)

    def _check_file(self) -> None:
        """Whether SQLite's file is still the one that was opened."""
        if self._opened is not None and self._identity() != self._opened:
            raise StoreError(
                f"database {self.name}: its file was deleted or replaced",
                remedy="restart the bridge, which opens it anew",
            )

    def _touch(self, connection: Connection, now: float) -> None:
        connection.execute(self._upserts["edgewise_schema"], [{"version": SCHEMA, "written": now}])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.errors_named():
            self._check_file()
            with self._engine.begin() as connection:
                yield connection
            self._check_file()  # else what was written is in a file without a name, and gone with this process


TOGETHER: Final = (128, 16, 1)
"""Rows that one statement of SQLite writes: few shapes, so that each is prepared once."""


class _Many:
    """A statement for many rows. SQLAlchemy's own way through each row costs more than SQLite's work with it.

    Python lets other threads run at every statement, and one that writes metrics for a second is slow to give way: so
    a statement writes many rows.
    """

    def __init__(self, statement: Any, engine: sa.Engine) -> None:
        self._statement = statement
        self._texts: dict[int, str] = {}
        self._order: tuple[str, ...] = ()
        if engine.dialect.name == "sqlite":
            compiled: Any = statement.compile(dialect=engine.dialect)
            self._order = tuple(compiled.positiontup)
            row = f"({', '.join('?' * len(self._order))})"
            before, found, after = str(compiled).partition(f"VALUES {row}")
            if found:
                self._texts = {count: f"{before}VALUES {', '.join([row] * count)}{after}" for count in TOGETHER}

    def execute(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Run it for each row, given by column."""
        if not self._texts:
            connection.execute(self._statement, rows)
            return
        at = 0
        for count, text in self._texts.items():
            while at + count <= len(rows):
                values = [row[name] for row in rows[at : at + count] for name in self._order]
                connection.exec_driver_sql(text, tuple(values))
                at += count


def _upsert(insert: Any, table: sa.Table) -> Any:
    statement = insert(table)
    keys = [each.name for each in table.primary_key]
    changed = {each.name: statement.excluded[each.name] for each in table.columns if each.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _row(logged: LoggedPrediction) -> dict[str, Any]:
    message = logged.message
    return {
        "device": message.device,
        "session": message.session,
        "sequence": message.sequence,
        "site": message.site,
        "time": message.time,
        "received": logged.received,
        "track": message.track,
        "label": message.label,
        "confidence": message.confidence,
        "probabilities": msgspec.json.encode(message.probabilities).decode(),
        "box": msgspec.json.encode(message.box).decode(),
        "model": message.model.name,
        "release": message.model.release,
        "digest": message.model.digest,
        "latency": message.latency,
    }


def logged(row: Any) -> LoggedPrediction:
    """A row of the table `predictions`.

    Raises:
        DamagedError: it is not what a bridge writes.
    """
    fields: dict[str, object] = {
        "device": row.device,
        "site": row.site,
        "session": row.session,
        "sequence": row.sequence,
        "oldest": (row.session, row.sequence),
        "time": row.time,
        "track": row.track,
        "label": row.label,
        "confidence": row.confidence,
        "model": {"name": row.model, "release": row.release, "digest": row.digest},
        "latency": row.latency,
    }
    message = records.prediction(fields, row.probabilities, row.box)
    return LoggedPrediction(message, records.received(row.received))


def _as_it_is(column: sa.Column[Any]) -> Any:
    """The column without a conversion: where a disk changed a value's type, a conversion would fail for all rows."""
    return sa.type_coerce(column, sa.types.NullType())
