"""From a plan's sizes to who takes part: for each wave a share by hash, and devices named beside it. Pure.

A number of devices is named: those with the smallest places, which are the first that a share takes in too. A share
is left to the hash; the shadow and every wave that is a share name one device more of each kind that would else have
none. Nobody leaves from one wave to the next. One wave names at most `wave.CANARIES` devices: of more kinds, those with
most devices come first, and the others when a larger share makes room.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from edge_contract.wave import CANARIES, place
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import Plan, WaveSize

SHADOW: Final = 0


class Size(Struct, frozen=True, kw_only=True):
    """One wave of a group as it is now; who joins later is in or out by the share."""

    number: int
    """Counted from 1; 0 is the shadow."""
    share: float
    canaries: tuple[str, ...]
    """Named beside the share, ascending."""
    devices: tuple[str, ...]
    """Everyone who takes part, ascending; those of earlier waves too."""
    added: int
    """How many of them the wave before did not have. A wave that adds nobody is skipped: `skipped` says why."""
    without: tuple[Kind, ...] = ()
    """Kinds of the group of which no device takes part yet, because there are more than one wave can name."""
    skipped: str = ""


def sizes(plan: Plan, members: Mapping[str, Kind], salt: str) -> tuple[Size, ...]:
    """The shadow if the plan has one, then every wave, those that are skipped too. `salt`: the release's digest."""
    places = {device: place(salt, device) for device in members}
    order = sorted(members, key=lambda device: (places[device], device))
    found = []
    if plan.shadow is not None:
        named, lacking = _covering((), plan.shadow.share, order, places, members)
        found.append(_size(SHADOW, plan.shadow.share, named, order, places, before=(), without=lacking))
    share = 0.0
    canaries: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    for number, wanted in enumerate(plan.waves, 1):
        without: tuple[Kind, ...] = ()
        if wanted.devices:
            canaries = _named(wanted, share, canaries, order, places)
        else:
            share = max(share, wanted.share)
            canaries, without = _covering(canaries, share, order, places, members)
        size = _size(number, share, canaries, order, places, before=before, without=without)
        before = size.devices
        found.append(size)
    return tuple(found)


def _named(
    wanted: WaveSize, share: float, canaries: Iterable[str], order: list[str], places: Mapping[str, float]
) -> tuple[str, ...]:
    """Of all, so many as wanted take part: those already named, then those with the smallest places."""
    named = set(canaries)
    taking_part = sum(1 for device in order if device in named or places[device] < share)
    for device in order:
        if taking_part >= wanted.devices or len(named) >= CANARIES:
            break
        if device not in named and places[device] >= share:
            named.add(device)
            taking_part += 1
    return tuple(sorted(named))


def _covering(
    canaries: Iterable[str], share: float, order: list[str], places: Mapping[str, float], members: Mapping[str, Kind]
) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    """Those named before whom the share does not hold, and one of each kind that has nobody; and kinds left without."""
    named = {device for device in canaries if places.get(device, 1.0) >= share}
    covered = {members[device] for device in order if device in named or places[device] < share}
    first: dict[Kind, str] = {}
    count: dict[Kind, int] = {}
    for device in order:
        first.setdefault(members[device], device)
        count[members[device]] = count.get(members[device], 0) + 1
    lacking = sorted((kind for kind in first if kind not in covered), key=lambda kind: (-count[kind], kind))
    room = CANARIES - len(named)
    named.update(first[kind] for kind in lacking[:room])
    return tuple(sorted(named)), tuple(lacking[room:])


def _size(
    number: int,
    share: float,
    canaries: tuple[str, ...],
    order: list[str],
    places: Mapping[str, float],
    *,
    before: Iterable[str],
    without: tuple[Kind, ...],
) -> Size:
    named = set(canaries)
    devices = tuple(sorted(device for device in order if device in named or places[device] < share))
    added = len(set(devices) - set(before))
    why = ""
    if not added:
        why = (
            f"wave {number} is skipped: it adds nobody to the {len(devices)} before it."
            if number
            else ("the shadow is skipped: nobody takes part.")
        )
    return Size(
        number=number, share=share, canaries=canaries, devices=devices, added=added, without=without, skipped=why
    )
