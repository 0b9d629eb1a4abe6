"""The prediction log and what a bridge must remember, in one database: SQLite by default, PostgreSQL by URL.

One transaction holds a batch: its predictions, how far each device's messages are stored, and the records whose totals
include those messages. So an acknowledgement sent after the commit is true, and a bridge that was killed goes on with
every message counted exactly once. Predictions are unique by (device, session, sequence), so a
repeated one changes nothing.

SQL is here alone. Calls block; the intake's thread makes them, never the event loop.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_bridge.storage.tables import SCHEMA, devices, marks, metadata, predictions, schema, sums
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.messages import ModelRef, Prediction

LOCK_S: Final = 10
"""Seconds a statement waits for a lock of another process: a backup, a shell."""
DELETE_ROWS: Final = 20_000
"""Rows one retention step deletes, so that a step never holds the writer for long."""


class StoreError(EdgewiseError):
    """The database could not be written or read; the text names the database, without its password."""


class LoggedPrediction(NamedTuple):
    """A prediction and when the bridge received it, seconds since 1970."""

    message: Prediction
    received: float


class Remembered(NamedTuple):
    """What a bridge starts from."""

    devices: tuple[Device, ...]
    progress: dict[str, Progress]
    sums: dict[Key, Sum]


class Batch(NamedTuple):
    """What one transaction writes."""

    predictions: Sequence[LoggedPrediction]
    progress: Mapping[str, Progress]
    devices: Mapping[str, Device | None]  # None deletes
    sums: Mapping[Key, Sum]


class Store:
    """One database; see the module. Used by one thread at a time, except `recent`."""

    def __init__(self, url: str) -> None:
        """Connects on first use.

        Raises:
            UsageError: the driver for this database is not installed.
        """
        self._url = make_url(url)
        if self._url.drivername == "postgresql":
            self._url = self._url.set(drivername="postgresql+psycopg")
        self.name = self._url.render_as_string(hide_password=True)
        try:
            self._engine = _engine(self._url)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise UsageError(
                f"{self.name} needs a driver that is not installed ({error})",
                remedy="run: pip install 'psycopg[binary]'",
            ) from error
        insert: Any = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        self._insert_predictions = insert(predictions).on_conflict_do_nothing()
        self._upserts = {each.name: _upsert(insert, each) for each in (devices, marks, sums, schema)}

    def open(self, now: float) -> None:
        """Create what is missing and prove that it can be written.

        Raises:
            StoreError: the database is away, cannot be written, or is of a newer version.
        """
        with self._transaction() as connection:
            metadata.create_all(connection)
            newest = connection.execute(sa.select(sa.func.max(schema.c.version))).scalar()
            if newest is not None and newest > SCHEMA:
                problem = f"{self.name} was written by a newer bridge (schema {newest})"
                raise StoreError(problem, remedy="upgrade this one")
            self._touch(connection, now)

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
                connection.execute(self._insert_predictions, [_row(each) for each in batch.predictions])
            # In one order, so that two bridges on one database never wait for each other's rows.
            gone = sorted(name for name, record in batch.devices.items() if record is None)
            if gone:
                connection.execute(sa.delete(devices).where(devices.c.device.in_(gone)))
            present = {name: record for name, record in batch.devices.items() if record is not None}
            for table, records in (("devices", present), ("marks", batch.progress)):
                if records:
                    connection.execute(
                        self._upserts[table],
                        [
                            {"device": name, "record": msgspec.json.encode(record)}
                            for name, record in sorted(records.items())
                        ],
                    )
            if batch.sums:
                connection.execute(
                    self._upserts["sums"],
                    [
                        {"site": key.site, "model": key.model, "record": msgspec.json.encode(total)}
                        for key, total in sorted(batch.sums.items())
                    ],
                )

    def remembered(self) -> Remembered:
        """The records of the last commit.

        Raises:
            StoreError: the database is away or a record in it is damaged.
        """
        with self._transaction() as connection:
            device_rows = connection.execute(sa.select(devices)).all()
            mark_rows = connection.execute(sa.select(marks)).all()
            sum_rows = connection.execute(sa.select(sums)).all()
        try:
            return Remembered(
                tuple(msgspec.json.decode(row.record, type=Device) for row in device_rows),
                {row.device: msgspec.json.decode(row.record, type=Progress) for row in mark_rows},
                {Key(row.site, row.model): msgspec.json.decode(row.record, type=Sum) for row in sum_rows},
            )
        except msgspec.MsgspecError as error:
            problem = f"{self.name} holds a damaged record ({error})"
            raise StoreError(problem, remedy="restore it from a backup") from error

    def recent(self, limit: int) -> list[LoggedPrediction]:
        """The predictions received last, newest first.

        Raises:
            StoreError: the database is away.
        """
        with self._transaction() as connection:
            rows = connection.execute(sa.select(predictions).order_by(predictions.c.received.desc()).limit(limit)).all()
        return [_logged(row) for row in rows]

    def forget(self, before: float, keep_rows: int) -> int:
        """Delete at most `DELETE_ROWS` predictions received before `before` or past the newest `keep_rows`.

        Raises:
            StoreError: nothing was deleted.
        """
        with self._transaction() as connection:
            excess = connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one() - keep_rows
            oldest = sa.select(predictions.c.received).order_by(predictions.c.received)
            if excess > 0:
                cut = connection.execute(oldest.offset(min(excess, DELETE_ROWS) - 1).limit(1)).scalar_one()
                before = max(before, cut)
            step = connection.execute(oldest.offset(DELETE_ROWS).limit(1)).scalar()
            last = before if step is None else min(before, step)
            return max(connection.execute(sa.delete(predictions).where(predictions.c.received <= last)).rowcount, 0)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _touch(self, connection: Connection, now: float) -> None:
        connection.execute(self._upserts["edgewise_schema"], [{"version": SCHEMA, "written": now}])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
            raise StoreError(f"database {self.name}: {cause}", remedy="make it reachable and writable") from error


def _engine(url: sa.URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        # Durable by default: synchronous_commit is on unless it is turned off for the whole server.
        options = f"-c lock_timeout={LOCK_S * 1000} -c statement_timeout={LOCK_S * 6000}"
        return sa.create_engine(
            url, pool_pre_ping=True, connect_args={"options": options, "connect_timeout": LOCK_S}, pool_size=2
        )
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_S, "check_same_thread": False})

    def prepare(connection: Any, _record: object) -> None:
        # FULL: with NORMAL a power cut may take back a commit that was already acknowledged to a device.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}").close()

    sa.event.listen(engine, "connect", prepare)
    return engine


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


def _logged(row: Any) -> LoggedPrediction:
    message = Prediction(
        device=row.device,
        site=row.site,
        session=row.session,
        sequence=row.sequence,
        oldest=(row.session, row.sequence),
        time=row.time,
        track=row.track,
        label=row.label,
        confidence=row.confidence,
        probabilities=msgspec.json.decode(row.probabilities, type=tuple[float, ...]),
        box=msgspec.json.decode(row.box, type=tuple[float, float, float, float]),
        model=ModelRef(name=row.model, release=row.release, digest=row.digest),
        latency=row.latency,
    )
    return LoggedPrediction(message, row.received)
