"""Reading the prediction log: which predictions, how many, and a summary; beside a bridge that writes it.

Nothing here writes or creates anything. On SQLite a reader never holds up the bridge nor waits for it (WAL); on
PostgreSQL it is a read-only transaction. What is read is one state of the log: what comes meanwhile is not part of it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.storage.engine import Database, StoreError
from edge_bridge.storage.records import DamagedError
from edge_bridge.storage.store import LoggedPrediction, logged
from edge_bridge.storage.tables import SCHEMA, predictions, schema

Clock = Literal["device", "received"]
"""Whose time counts: that of the device when it answered, or that of the bridge when it received the answer. A device's
clock may be wrong; a message may have waited hours in its spool."""
By = Literal["device", "site", "model", "label"]

ROWS: Final = 2000
"""Rows in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFilter:
    """Which predictions; what is None filters nothing."""

    device: str | None = None
    site: str | None = None
    model: str | None = None
    """A name, or name and release as labels have it: `emotion-5`."""
    label: str | None = None
    since: float | None = None
    """Seconds since 1970, by `clock`; the moment itself is part of it."""
    until: float | None = None
    """The same; the moment itself is not part of it."""
    clock: Clock = "device"
    session: int | None = None
    track: int | None = None
    newest_first: bool = False
    limit: int | None = None
    offset: int = 0


class Tally(NamedTuple):
    """Predictions that have something in common."""

    key: tuple[str, ...]
    """The values that they share, in the order asked for; a model as `name-release`."""
    predictions: int
    confidence: float
    """Mean."""
    first: float
    """By the clock of the filter, seconds since 1970."""
    last: float


class PredictionLog:
    """The log of one database, for reading."""

    def __init__(self, url: str) -> None:
        """Connects on first use.

        Raises:
            UsageError: the driver for this database is not installed.
        """
        self._database = Database(url, read_only=True)
        self.name = self._database.name
        self.damaged = 0
        """Rows that could not be read and were left out, so far."""

    def query(self, wanted: PredictionFilter) -> list[LoggedPrediction]:
        """The predictions, in the order of time; give a limit.

        Raises:
            StoreError: the database cannot be read, is none of a bridge, or is of a newer one; so for all functions.
        """
        return list(self.rows(wanted))

    def rows(self, wanted: PredictionFilter) -> Iterator[LoggedPrediction]:
        """The same one after the other, without holding them in memory."""
        column = _time(wanted)
        order = [column, predictions.c.device, predictions.c.session, predictions.c.sequence]
        statement = (
            sa.select(predictions)
            .where(*_conditions(wanted))
            .order_by(*(each.desc() if wanted.newest_first else each for each in order))
            .limit(wanted.limit)
            .offset(wanted.offset or None)
        )
        with self._reading() as connection:
            found = connection.execution_options(stream_results=True, max_row_buffer=ROWS).execute(statement)
            for row in found.yield_per(ROWS):
                try:
                    yield logged(row)
                except DamagedError:
                    self.damaged += 1

    def count(self, wanted: PredictionFilter) -> int:
        """How many there are, whatever the limit."""
        statement = sa.select(sa.func.count()).select_from(predictions).where(*_conditions(wanted))
        with self._reading() as connection:
            return int(connection.execute(statement).scalar_one())

    def tally(self, wanted: PredictionFilter, by: Sequence[By]) -> list[Tally]:
        """How many there are of each kind, the most frequent first, whatever the limit."""
        column = _time(wanted)
        columns = [each for name in by for each in _COLUMNS[name]]
        numbers = (
            sa.func.count().label("count"),
            sa.func.avg(predictions.c.confidence),
            sa.func.min(column),
            sa.func.max(column),
        )
        statement = (
            sa.select(*columns, *numbers)
            .where(*_conditions(wanted))
            .group_by(*columns)
            .order_by(sa.desc("count"), *columns)
        )
        with self._reading() as connection:
            rows = connection.execute(statement).all()
        return [Tally(_key(by, tuple(row)), int(row[-4]), *map(float, row[-3:])) for row in rows if row[-4]]

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._database.file is not None and not self._database.file.is_file():
            remedy = "name it with --database, or the bridge's settings with --config"
            raise StoreError(f"there is no prediction log at {self.name}", remedy=remedy)
        with self._database.errors_named(), self._database.engine.connect() as connection:
            there = sa.inspect(connection).has_table(predictions.name)
            newest = connection.execute(sa.select(sa.func.max(schema.c.version))).scalar() if there else None
            if newest is None:
                raise StoreError(f"{self.name} is no database of a bridge", remedy="name another")
            if newest > SCHEMA:
                problem = f"{self.name} was written by a newer bridge (schema {newest})"
                raise StoreError(problem, remedy="upgrade Edgewise here")
            yield connection


_COLUMNS: Final[dict[By, tuple[sa.Column[Any], ...]]] = {
    "device": (predictions.c.device,),
    "site": (predictions.c.site,),
    "model": (predictions.c.model, predictions.c.release),
    "label": (predictions.c.label,),
}


def _key(by: Sequence[By], row: Sequence[Any]) -> tuple[str, ...]:
    values = iter(row)
    return tuple("-".join(str(next(values)) for _ in _COLUMNS[name]) for name in by)


def _time(wanted: PredictionFilter) -> sa.Column[float]:
    return predictions.c.time if wanted.clock == "device" else predictions.c.received


def _conditions(wanted: PredictionFilter) -> list[sa.ColumnElement[bool]]:
    column = _time(wanted)
    pairs = ((name, getattr(wanted, name)) for name in ("device", "site", "label", "session", "track"))
    conditions = [predictions.c[name] == value for name, value in pairs if value is not None]
    if wanted.model is not None:
        name, _, release = wanted.model.rpartition("-")
        either = [predictions.c.model == wanted.model]
        if name and release.isdecimal() and len(release) < 19:
            either.append(sa.and_(predictions.c.model == name, predictions.c.release == int(release)))
        conditions.append(sa.or_(*either))
    if wanted.since is not None:
        conditions.append(column >= wanted.since)
    if wanted.until is not None:
        conditions.append(column < wanted.until)
    return conditions
