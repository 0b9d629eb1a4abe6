"""Whether there is time for a look with a second model before the next frame comes. Pure.

The next frame is expected by the shortest pace of late: a look that ends before it costs no frame a moment. Where there
is never time, because the board is slow or the second model large, a small share of all time is spent on looks all the
same: a board on which nothing is compared would say nothing about the release.
"""

from typing import Final

SHARE: Final = 0.05
"""Of all time, for looks that end after the next frame came."""
_RESERVE: Final = 0.2
"""Share of the time between two frames that is left alone: they do not come to the millisecond."""
_EASING: Final = 0.05
"""How much of the way pace and cost go, from one value to the next, towards what costs less caution."""


class SpareTime:
    """One second model's time; all arguments are seconds."""

    def __init__(self, cost: float, now: float) -> None:
        """`cost`: of one look, as measured before."""
        self._cost, self._pace = cost, 0.0
        self._saved, self._counted = 0.0, now
        self._next: float | None = None

    def frame(self, captured: float, interval: float | None) -> None:
        """A frame is being worked on. `interval`: since the one before it; None where frames wait until taken."""
        if interval is None:
            self._next = None
            return
        shorter = self._pace <= 0 or interval < self._pace
        self._pace = max(interval if shorter else self._pace + _EASING * (interval - self._pace), 0.0)
        self._next = captured + (1 - _RESERVE) * self._pace

    def allows(self, now: float, *, waiting: bool) -> bool:
        """Whether a look may begin. `waiting`: the next frame is here already."""
        self._saved = min(self._saved + SHARE * max(now - self._counted, 0.0), self._cost)
        self._counted = now
        return self._in_time(now, waiting=waiting) or self._saved >= self._cost

    def spent(self, began: float, now: float, *, waiting: bool) -> None:
        """A look that was allowed is over. `waiting`: as when it began."""
        seconds = now - began
        if not self._in_time(began, waiting=waiting):
            self._saved -= seconds
        self._cost = max(seconds, self._cost + _EASING * (seconds - self._cost))

    def _in_time(self, now: float, *, waiting: bool) -> bool:
        return self._next is None or (not waiting and now + self._cost <= self._next)
