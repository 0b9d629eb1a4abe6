"""How much devices changed with a release, against those that kept the old one: a difference in differences. Pure.

Each device is compared with itself before, so cameras may look at different rooms; the devices that kept the old
release show what the time of day did meanwhile. Two kinds of chance are counted: the scatter between stretches of two
minutes, and how differently devices drift when nothing is changed, which their changes show when laid side by side.
"""

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final, NamedTuple

from edge_fleet.rollout.evidence.evidence import Answers, weights
from edge_fleet.rollout.evidence.stretches import Series

DRIFT_DEVICES: Final = 4
"""Degrees of freedom below which no drift can be told from scatter."""


class Phases(NamedTuple):
    """One device, one measure: before the release and since the wave began."""

    device: str
    before: Series
    after: Series


class Change(NamedTuple):
    """An estimate with its standard error, and the stretches since the wave began that it stands on."""

    value: float
    error: float
    stretches: int
    before: int
    devices: int
    controls: int


Sides = Sequence[tuple[str, Answers, Answers]]
"""Devices, with what they answered before and after."""


def phases(devices: Sides, measure: Callable[[Answers], Series]) -> list[Phases]:
    """Of devices that have stretches on both sides."""
    found = [Phases(device, measure(before), measure(after)) for device, before, after in devices]
    return [one for one in found if one.before.weight > 0 and one.after.weight > 0]


def changed(wave: Sequence[Phases], controls: Sequence[Phases], *, ratio: bool = False, least: float = 0.0) -> Change:
    """How much the mean of the wave's devices changed beyond that of the controls.

    `ratio`: the logarithm of how many times larger it became. `least`: the smallest standard error to be believed.
    """
    if not wave:
        return Change(0.0, math.inf, 0, 0, 0, len(controls))
    scatter = _scatter([*wave, *controls])
    groups = [_Group(group, scatter, ratio=ratio) for group in (wave, controls) if group]
    drift = _drift(groups)
    value = groups[0].mean - (groups[1].mean if controls else 0.0)
    variance = sum(group.variance + drift * group.concentration for group in groups)
    return Change(
        value=value,
        error=max(math.sqrt(variance), least),
        stretches=sum(one.after.stretches for one in wave),
        before=sum(one.before.stretches for one in wave),
        devices=len(wave),
        controls=len(controls),
    )


class _Group:
    """Devices of one side: weighted by what they saw, none by more than four times the median."""

    def __init__(self, group: Sequence[Phases], scatter: float, *, ratio: bool) -> None:
        self.changes = [_change(one, ratio=ratio) for one in group]
        self.variances = [_variance(one, scatter, ratio=ratio) for one in group]
        held = weights({one.device: one.after.weight for one in group})
        shares = [one.after.weight * held[one.device] for one in group]
        total = sum(shares)
        shares = [share / total for share in shares]
        self.mean = sum(share * change for share, change in zip(shares, self.changes, strict=True))
        self.variance = sum(share**2 * variance for share, variance in zip(shares, self.variances, strict=True))
        self.concentration = sum(share**2 for share in shares)


def _change(one: Phases, *, ratio: bool) -> float:
    if not ratio:
        return one.after.mean - one.before.mean
    return math.log(max(one.after.mean, 1e-9) / max(one.before.mean, 1e-9))


def _variance(one: Phases, scatter: float, *, ratio: bool) -> float:
    """Of one device's change: stretches scatter alike everywhere, so one with few of them borrows from the others."""
    total = 0.0
    for side in (one.before, one.after):
        of_side = scatter * side.weight_squared / side.weight**2
        total += of_side / max(side.mean, 1e-9) ** 2 if ratio else of_side
    return total


def _scatter(group: Sequence[Phases]) -> float:
    """Variance of one stretch's ratio, from all sides of all devices with at least two; each stretch counts alike."""
    every = (side for one in group for side in (one.before, one.after) if side.stretches > 1)
    sides = [side.scaled(side.stretches / side.weight) for side in every]
    free = sum(side.weight_squared * (side.stretches - 1) / side.stretches for side in sides)
    return sum(side.scatter for side in sides) / free if free > 0 else math.inf


def _drift(groups: Sequence[_Group]) -> float:
    """Variance of devices' own drift: how far changes of one side lie apart, beyond what scatter explains."""
    free = sum(len(group.changes) - 1 for group in groups)
    if free < DRIFT_DEVICES:
        return 0.0
    apart = 0.0
    for group in groups:
        middle = fmean(group.changes)
        apart += sum((change - middle) ** 2 for change in group.changes)
    return max(0.0, apart / free - fmean([variance for group in groups for variance in group.variances]))
