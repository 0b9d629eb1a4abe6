"""Why a device answers otherwise: told by the pictures of lately beside those of the same hours while it was learned.

Pure. Each cause has a gauge, by how much it must have moved to be one, and how far it scatters anyway. Where several
moved, that which explains the others is named: a face far away is also blurred, and a covered lens also dark.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from edge_bridge.drift.block import GAUGES
from edge_bridge.drift.view import Cause
from edge_contract.metrics import DeviceGauge

SPREADS: Final = 3.0
"""How many times its usual scatter a gauge has to move."""


class Picture(NamedTuple):
    """One gauge lately, and in the same hours before."""

    now: float
    usual: float
    spread: float


class _Sign(NamedTuple):
    cause: Cause
    gauges: tuple[DeviceGauge, ...]
    """The first that is known decides."""
    moved: Callable[[float, float], float]
    """How far, in the direction that matters."""
    least: float
    scale: Callable[[float], float]
    """What one unit of the gauge is worth there, at its usual value."""


def _log_fall(now: float, usual: float) -> float:
    return math.log(max(usual, 1e-6) / max(now, 1e-6))


def _per_value(usual: float) -> float:
    return 1 / max(abs(usual), 1e-6)


def _same(_usual: float) -> float:
    return 1.0


# In the order in which they explain one another.
_SIGNS: Final = (
    _Sign("turned", (DeviceGauge.FACE_ROLL_DEGREES,), lambda now, usual: abs(now - usual), 8.0, _same),
    _Sign("far", (DeviceGauge.FACE_PIXELS,), _log_fall, 0.35, _per_value),
    _Sign("dark", (DeviceGauge.FACE_BRIGHTNESS, DeviceGauge.BRIGHTNESS), _log_fall, 0.35, _per_value),
    _Sign("bright", (DeviceGauge.FACE_BRIGHTNESS, DeviceGauge.BRIGHTNESS), lambda now, usual: now - usual, 0.15, _same),
    _Sign("blurred", (DeviceGauge.FACE_SHARPNESS, DeviceGauge.SHARPNESS), _log_fall, 0.2, _per_value),
)
_COVERED_CONTRAST: Final = 0.7
_COVERED_FACELESS: Final = 0.3


def of_pictures(pictures: Sequence[Picture | None]) -> Cause | None:
    """What the pictures say, in the order of `GAUGES`; None where they are as ever, or not known."""
    known = {gauge: each for gauge, each in zip(GAUGES, pictures, strict=True) if each is not None}
    if _covered(known):
        return "covered"
    for sign in _SIGNS:
        gauge = next((each for each in sign.gauges if each in known), None)
        if gauge is None:
            continue
        now, usual, spread = known[gauge]
        if sign.moved(now, usual) >= max(sign.least, SPREADS * spread * sign.scale(usual)):
            return sign.cause
    return None


def of_change(pictures: Sequence[Picture | None], *, answers: bool) -> Cause:
    """The probable cause; `answers` where the mix of answers moved, not how sure they are."""
    if (found := of_pictures(pictures)) is not None:
        return found
    known = sum(each is not None for each in pictures)
    return "answers" if known and answers else "unknown"


def _covered(known: dict[DeviceGauge, Picture]) -> bool:
    """Something before the lens: the whole picture lost its contrast, and faces in it with them."""
    contrast, faceless = known.get(DeviceGauge.CONTRAST), known.get(DeviceGauge.FACELESS)
    if contrast is None or faceless is None:
        return False
    flat = _log_fall(contrast.now, contrast.usual) >= max(
        _COVERED_CONTRAST, SPREADS * contrast.spread * _per_value(contrast.usual)
    )
    return flat and faceless.now - faceless.usual >= _COVERED_FACELESS
