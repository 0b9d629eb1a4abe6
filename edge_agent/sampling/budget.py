"""How much of a stratum's share is left under its caps. Pure.

A cap that cut off what comes too much would leave crops whose chance nobody knows: the faces of a quiet hour would
stand for those of a busy one. So the share is thinned before the cap is reached, by a factor that depends on what was
kept before and on nothing of this face: 1 while half of a cap is left, then falling in a straight line to 0 where
nothing is. Share times factor is then the true chance of this face, and is written into its crop.

Uncertain faces and disagreements have half of each cap at most, so that they never take the room of the random ones,
from which accuracy is estimated.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Final

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Caps:
    """Crops at most in any minute, hour and day, and bytes on disk."""

    per_minute: int
    per_hour: int
    per_day: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Spent:
    """When crops were kept in the last day: seconds of a clock that only grows, in order."""

    all: tuple[float, ...] = ()
    chosen: tuple[float, ...] = ()
    """Of these, the ones that were chosen for their answer: uncertain faces and disagreements."""

    def one_more(self, now: float, *, chosen: bool) -> "Spent":
        """After one more was kept; what is older than a day is forgotten."""
        kept = Spent(_since(self.all, now - DAY_S), _since(self.chosen, now - DAY_S))
        more = (now,) if chosen else ()
        return replace(kept, all=(*kept.all, now), chosen=(*kept.chosen, *more))


def room(caps: Caps, spent: Spent, held: int, now: float, *, chosen: bool) -> float:
    """What a share is multiplied by now, 0 to 1. `held`: bytes on disk."""
    windows = ((MINUTE_S, caps.per_minute), (HOUR_S, caps.per_hour), (DAY_S, caps.per_day))
    left = [_left(_count(spent.all, now - length), cap) for length, cap in windows]
    left.append(_left(held, caps.bytes // 2 if chosen else caps.bytes))
    if chosen:
        left += [_left(_count(spent.chosen, now - length), cap // 2) for length, cap in windows]
    return min(1.0, 2.0 * min(left))


def _left(used: int, cap: int) -> float:
    """The share of a cap that is left, 0 to 1."""
    return max(0, cap - used) / cap if cap else 0.0


def _count(times: tuple[float, ...], after: float) -> int:
    return len(times) - bisect_left(times, after)


def _since(times: tuple[float, ...], after: float) -> tuple[float, ...]:
    return times[bisect_left(times, after) :]
