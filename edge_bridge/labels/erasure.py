"""What was taken of a device in a time is erased: crops, what people said of them, and their bytes in the file.

A tombstone stays in their place. It names device and time and nothing else, refuses what comes again out of a device's
store, and travels with every export, so that what was exported earlier is left out of the next training.
"""

import math
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.labels.crops import delete
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.tables import crops, tombstones
from edge_bridge.storage.engine import StoreError


class Tombstone(NamedTuple):
    """What is not to be used any more; times by the device's clock, seconds since 1970."""

    device: str
    since: float | None
    """None: from the beginning."""
    until: float | None
    """Exclusive; None: without end."""


class Erased(NamedTuple):
    """What an erasure did."""

    crops: int
    tombstone: Tombstone


def erase(database: LabelDatabase, device: str, since: float | None, until: float | None, now: float) -> Erased:
    """Erase what `device` took from `since` on until before `until`; without `until`, all that there is now.

    Raises:
        StoreError: nothing was erased; or all of it was, but its bytes could not be overwritten in the log of changes
            while another program reads the file: run it again.
    """
    with database.transaction() as connection:
        within = crops.c.device == device
        if since is not None:
            within &= crops.c.taken >= since
        if until is not None:
            within &= crops.c.taken < until
        found = connection.execute(sa.select(crops.c.id, crops.c.taken).where(within)).all()
        if until is None:
            # What is there now, and what waits on the device: its clock may be ahead. What it takes later is another
            # matter, for the consent in its settings says whether there is any.
            until = math.nextafter(max([now, *(row.taken for row in found)]), math.inf)
        count = delete(connection, [row.id for row in found])
        row = {"device": device, "since": since, "until": until, "time": now, "crops": count}
        connection.execute(sa.insert(tombstones), [row])
    try:
        database.rewrite()
    except StoreError as error:
        raise StoreError(
            f"{count} crops of {device} are erased, but their bytes may still stand in the file: {error.problem}",
            remedy=f"{error.remedy}" if "again" in error.remedy else f"{error.remedy}, and run this again",
        ) from error
    return Erased(count, Tombstone(device, since, until))


def tombstones_in(connection: Connection) -> list[Tombstone]:
    """All of them, oldest first."""
    query = sa.select(tombstones.c.device, tombstones.c.since, tombstones.c.until).order_by(tombstones.c.number)
    return [Tombstone(*row) for row in connection.execute(query)]
