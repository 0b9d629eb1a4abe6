"""Crops in the database: added within limits, opened for the page, and forgotten when their time is over.

Each function works in the caller's transaction, so that what is acknowledged is what was committed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from edge_bridge.labels.door import Checked, Refusal, guess_in, model_of
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.labels.tables import annotations, crops, tombstones
from edge_contract.crop import CropName, Guess

FORGET_ROWS: Final = 2_000
"""Crops that one step of retention deletes: a transaction never holds other writers for long."""
_MB: Final = 1_000_000


class Stored(NamedTuple):
    """What became of one crop."""

    device: str
    name: CropName
    refused: Refusal | None
    """None: it is stored, perhaps since earlier."""


class Opened(NamedTuple):
    """One crop to be shown."""

    id: int
    device: str
    sealed: bytes
    champion: Guess
    challenger: Guess | None


def add(connection: Connection, given: Sequence[Checked], settings: LabelSettings, now: float) -> list[Stored]:
    """Store what is new and within the limits; what became of each, in their order."""
    held: dict[str, list[int]] = {
        device: [count, size or 0]
        for device, count, size in connection.execute(
            sa.select(crops.c.device, sa.func.count(), sa.func.sum(crops.c.bytes)).group_by(crops.c.device)
        )
    }
    total = [sum(count for count, _ in held.values()), sum(size for _, size in held.values())]
    erased = _erased(connection, {each.device for each in given})
    found = []
    for each in given:
        mine = held.setdefault(each.device, [0, 0])
        refused = _refusal(each, mine, total, erased, settings)
        if refused is None and _insert(connection, each, now):
            for tally in (mine, total):
                tally[0] += 1
                tally[1] += len(each.sealed)
        elif refused in {"device-limit", "limit"} and _is_there(connection, each):
            refused = None
        found.append(Stored(each.device, CropName(each.session, each.sequence), refused))
    return found


def opened(connection: Connection, crop: int) -> Opened | None:
    """A crop as it is stored; None where there is none that can be shown.

    Raises:
        MessageError: what is stored beside it is damaged.
    """
    row = connection.execute(
        sa.select(crops.c.id, crops.c.device, crops.c.sealed, crops.c.champion, crops.c.challenger).where(
            crops.c.id == crop, crops.c.damaged == ""
        )
    ).one_or_none()
    if row is None:
        return None
    challenger = None if row.challenger is None else guess_in(row.challenger)
    return Opened(row.id, row.device, bytes(row.sealed), guess_in(row.champion), challenger)


def put_aside(connection: Connection, crop: int, reason: str) -> None:
    """Ask no one of this crop any more: it cannot be shown."""
    connection.execute(sa.update(crops).where(crops.c.id == crop).values(damaged=reason[:256] or "damaged"))


def forget(connection: Connection, before: float) -> int:
    """Delete at most `FORGET_ROWS` crops received before this time, with their annotations; how many they were."""
    oldest = sa.select(crops.c.id).where(crops.c.received < before).order_by(crops.c.received).limit(FORGET_ROWS)
    return delete(connection, [row.id for row in connection.execute(oldest)])


def delete(connection: Connection, ids: Sequence[int]) -> int:
    """Delete crops and what people said of them."""
    for begin in range(0, len(ids), FORGET_ROWS):
        some = ids[begin : begin + FORGET_ROWS]
        connection.execute(sa.delete(annotations).where(annotations.c.crop.in_(some)))
        connection.execute(sa.delete(crops).where(crops.c.id.in_(some)))
    return len(ids)


def _erased(connection: Connection, devices: Iterable[str]) -> dict[str, list[tuple[float | None, float | None]]]:
    found: dict[str, list[tuple[float | None, float | None]]] = {}
    of_them = sa.select(tombstones).where(tombstones.c.device.in_(sorted(devices)))
    for row in connection.execute(of_them):
        found.setdefault(row.device, []).append((row.since, row.until))
    return found


def _refusal(
    each: Checked,
    mine: Sequence[int],
    total: Sequence[int],
    erased: dict[str, list[tuple[float | None, float | None]]],
    settings: LabelSettings,
) -> Refusal | None:
    for since, until in erased.get(each.device, ()):
        if (since is None or since <= each.taken) and (until is None or each.taken < until):
            return "erased"
    size = len(each.sealed)
    if mine[0] >= settings.device_crops or mine[1] + size > settings.device_mb * _MB:
        return "device-limit"
    if total[0] >= settings.crops or total[1] + size > settings.mb * _MB:
        return "limit"
    return None


def _insert(connection: Connection, each: Checked, now: float) -> bool:
    """Whether it was new."""
    row: dict[str, Any] = {
        "device": each.device,
        "session": each.session,
        "sequence": each.sequence,
        "received": now,
        "key": each.key,
        "sealed": each.sealed,
        "bytes": len(each.sealed),
        "site": each.site,
        "taken": each.taken,
        "track": each.track,
        "stratum": each.stratum,
        "inclusion": each.inclusion,
        "champion": msgspec.json.encode(each.champion).decode(),
        "challenger": None if each.challenger is None else msgspec.json.encode(each.challenger).decode(),
        "model": model_of(each.champion),
        "consent": msgspec.json.encode(each.consent).decode(),
        "shuffle": each.shuffle,
    }
    return connection.execute(sqlite.insert(crops).on_conflict_do_nothing(), [row]).rowcount == 1


def _is_there(connection: Connection, each: Checked) -> bool:
    return (
        connection.execute(
            sa.select(crops.c.id).where(
                crops.c.device == each.device, crops.c.session == each.session, crops.c.sequence == each.sequence
            )
        ).one_or_none()
        is not None
    )
