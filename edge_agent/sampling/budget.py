"""By what chance a face is kept, under a share and caps. Pure.

A cap that cut off what comes too much would leave crops whose chance nobody knows: the faces of a quiet hour would
stand for those of a busy one. So the chance is lowered before a cap is reached, by what was kept and what came before
this face, and by nothing of the face itself; it is then its true chance, and is written into its crop.

The rule: of each cap, what is left now is spread over one length of its window, at the rate at which faces come. More
kept leaves less, and the next chance is lower, so that a stream far beyond a cap settles at half of it. (The number
kept is then that of heads of as many coins as the cap allows; that all of them show heads, and a face has no chance at
all, is the rarer the larger the cap: one face in 64 for a cap of 6.)

Uncertain faces and disagreements have half of each cap at most, so that they never take the room of the random ones,
from which accuracy is estimated. The same holds of the bytes on disk: the share falls from half full on.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0


class Span(NamedTuple):
    """A window that has a cap, and over how long the rate at which faces come is measured for it, seconds."""

    length: float
    measured: float


SPANS: Final = (Span(MINUTE_S, 10.0), Span(HOUR_S, 60.0), Span(DAY_S, HOUR_S))
"""Measured over a part of the window: a crowd must be noticed before it has used a cap up."""


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


@dataclass(frozen=True, slots=True)
class Demand:
    """How many faces of one stratum came lately, fading with age; start with `Demand()`."""

    at: float = 0.0
    counts: tuple[float, ...] = (0.0,) * len(SPANS)
    """By `SPANS`: divided by its `measured`, the rate at which faces come."""

    def one_more(self, now: float) -> "Demand":
        """After one more face came."""
        passed = max(0.0, now - self.at)
        faded = (count * math.exp(-passed / span.measured) for count, span in zip(self.counts, SPANS, strict=True))
        return Demand(now, tuple(count + 1.0 for count in faded))


def chance(share: float, caps: Caps, spent: Spent, demand: Demand, held: int, now: float, *, chosen: bool) -> float:
    """The chance of the face that came last, 0 to `share`. `demand`: it included; `held`: bytes on disk."""
    found = share * min(1.0, 2.0 * _left(held, caps.bytes // 2 if chosen else caps.bytes))
    limits = (caps.per_minute, caps.per_hour, caps.per_day)
    for span, cap, came in zip(SPANS, limits, demand.counts, strict=True):
        left = cap - _count(spent.all, now - span.length)
        if chosen:
            left = min(left, cap // 2 - _count(spent.chosen, now - span.length))
        found = min(found, max(0, left) * span.measured / (span.length * came))
    return found


def _left(used: int, cap: int) -> float:
    """The share of the bytes that is left, 0 to 1."""
    return max(0, cap - used) / cap if cap else 0.0


def _count(times: tuple[float, ...], after: float) -> int:
    return len(times) - bisect_left(times, after)


def _since(times: tuple[float, ...], after: float) -> tuple[float, ...]:
    return times[bisect_left(times, after) :]
