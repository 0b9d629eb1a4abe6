"""How far a share may be from what it was estimated from: Wilson's interval, 95 %."""

from math import sqrt
from typing import Final, NamedTuple

_Z: Final = 1.959963985


class Interval(NamedTuple):
    """A share, and between which it is likely."""

    share: float
    low: float
    high: float


def wilson(successes: float, n: float) -> Interval | None:
    """Wilson's score interval of `successes` of `n`; None without any."""
    if n <= 0:
        return None
    share = min(1.0, max(0.0, successes / n))
    spread = _Z * _Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(share, min(low, share), max(high, share))  # rounding may leave shares of 0 and 1 outside


def difference(left: Interval | None, right: Interval | None) -> Interval | None:
    """`right` minus `left`, of independent samples: Newcombe's interval of two Wilson intervals (1998, method 10)."""
    if left is None or right is None:
        return None
    gap = right.share - left.share
    low = gap - sqrt((right.share - right.low) ** 2 + (left.high - left.share) ** 2)
    high = gap + sqrt((right.high - right.share) ** 2 + (left.share - left.low) ** 2)
    return Interval(gap, low, high)
