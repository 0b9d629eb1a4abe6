"""Whether a share changed, looked at as often as one likes: an e-detector of the Shiryaev-Roberts kind.

For each alternative (this share grew or fell to so much) it adds up the likelihood ratios of all times at which the
change may have begun. A start is given the weight of the time since the last one, in months, so that without a change
the expected sum after T months is at most T: it passes A once in A months on average, at the least, however often it
is looked at (Shin, Ramdas, Rinaldo, arXiv 2203.03532). A sum over starts, unlike one over all the past, is as quick
after years of health as on the first day.

The null is an interval, not a point: a reference that was itself measured is known to a width, and only what lies
beyond counts.
"""

import math
from typing import Final

MONTH_S: Final = 30 * 86400.0
NOTHING: Final = -60.0
"""The logarithm of no evidence at all."""
GROWS: Final = (0.1, 0.25, 0.5)
"""Alternatives: so much of what was answered otherwise moved here; the first is at least the least effect."""
FALLS: Final = (0.25, 0.5, 0.8)
"""Alternatives: so much of this share is gone."""
ALTERNATIVES: Final = len(GROWS) + len(FALLS)
BEYOND: Final = 2.0
"""How far past an alarm the logarithm is kept: the evidence has to be gone soon after its cause is."""
RARE: Final = 0.05
"""Up to here a share is no change: what one person in many shows is seen in one person's tracks, or in none."""
_EDGE: Final = 0.005


def advanced(
    logs: list[float], at: int, share: float, weight: float, null: tuple[float, float], start: float, cap: float
) -> None:
    """Add one block to the `ALTERNATIVES` logarithms from `at` on, in place.

    `share` of the block's tracks; `weight`: how many independent tracks it is worth; `null`: the share's interval
    without a change; `start`: logarithm of the weight of a change that begins here; `cap`: the largest logarithm.
    """
    low, high = null
    high = min(max(high, RARE), 1 - _EDGE)
    for offset, moved in enumerate(GROWS):
        to = min(high + moved * (1 - high), 1 - _EDGE / 2)
        ratio = share * math.log(to / high) + (1 - share) * math.log((1 - to) / (1 - high))
        logs[at + offset] = _added(logs[at + offset], start, weight * ratio, cap)
    if low <= 2 * _EDGE:
        return
    low = min(low, 1 - _EDGE)
    for offset, gone in enumerate(FALLS, len(GROWS)):
        to = low * (1 - gone)
        ratio = share * math.log(to / low) + (1 - share) * math.log((1 - to) / (1 - low))
        logs[at + offset] = _added(logs[at + offset], start, weight * ratio, cap)


def _added(log: float, start: float, gain: float, cap: float) -> float:
    high, low = (log, start) if log > start else (start, log)
    return max(NOTHING, min(cap, high + math.log1p(math.exp(low - high)) + gain))


def summed(logs: list[float]) -> float:
    """The logarithm of the sum over alternatives."""
    top = max(logs)
    return top + math.log(sum(math.exp(each - top) for each in logs))
