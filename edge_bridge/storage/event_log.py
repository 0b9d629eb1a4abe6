"""What happened to devices and groups, kept in the bridge's database: a page shows the past of a bridge that restarted.

Beside the prediction log and apart from its transaction: a sentence that is lost is no message that is lost.
"""

import logging
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from edge_bridge.fleet.timeline import Event
from edge_bridge.storage.engine import Database, StoreError
from edge_bridge.storage.tables import events

KEPT: Final = 100_000
"""Of devices and groups together: the oldest go. About 150 bytes each."""
EVERY_S: Final = 2.0
"""Between two transactions: an fsync shared by many costs each little."""
WAITING: Final = 5_000
"""Kept while the database takes no writes; the oldest go."""

_log = logging.getLogger(__name__)


class EventLog:
    """One thread adds, others read. The tables are there: `Store.open` makes them."""

    def __init__(self, url: str) -> None:
        """Connects on first use.

        Raises:
            UsageError: the driver for this database is not installed.
        """
        self._database = Database(url)
        self._waiting: list[Event] = []
        self._written = 0.0

    def add(self, told: Sequence[Event], now: float, *, writable: bool = True) -> None:
        """Write them, with those that wait, when it is time to; a database that takes no writes gets them later.

        `writable`: whether it took some lately; else it is not tried, as each try may wait for a lock.
        """
        self._waiting = (self._waiting + list(told))[-WAITING:]
        if not self._waiting or not writable or 0 <= now - self._written < EVERY_S:
            return
        self._written = now
        try:
            with self._database.errors_named(), self._database.engine.begin() as connection:
                connection.execute(sa.insert(events), [each._asdict() for each in self._waiting])
                newest = connection.execute(sa.select(sa.func.max(events.c.number))).scalar_one()
                connection.execute(sa.delete(events).where(events.c.number <= newest - KEPT))
        except StoreError as error:
            _log.debug("events wait: %s", error)  # the prediction log says that the database takes no writes
            return
        self._waiting = []

    def of(self, scope: str, name: str, since: float, limit: int) -> list[Event]:
        """What happened to one from `since` on, newest first, and what its presence and update were before.

        Raises:
            StoreError: the database is away.
        """
        of_it = (events.c.scope == scope) & (events.c.name == name)
        columns = (events.c.scope, events.c.name, events.c.time, events.c.kind, events.c.state, events.c.text)
        newest = (events.c.time.desc(), events.c.number.desc())
        within = sa.select(*columns).where(of_it, events.c.time >= since).order_by(*newest).limit(limit)
        with self._database.errors_named(), self._database.engine.connect() as connection:
            rows = list(connection.execute(within).all())
            for kind in ("presence", "update"):
                before = sa.select(*columns).where(of_it, events.c.kind == kind, events.c.time < since)
                rows += connection.execute(before.order_by(*newest).limit(1)).all()
        waiting = [each for each in self._waiting[::-1] if (each.scope, each.name) == (scope, name)]
        return waiting + [Event(*row) for row in rows]

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
