"""Which of the chunks that devices ask for are published again, and when: what is asked often is published seldom.

A chunk is retained for the whole fleet, so one publication answers everyone, and an answer that did not help will not
help a second later. Without this, one device that repeats a kilobyte makes the broker carry a model each time. Pure.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

FIRST_PAUSE_S: Final = 5.0
"""After a chunk was published again, before it is once more; doubled each time."""
LONGEST_PAUSE_S: Final = 3600.0
_FORGOTTEN_S: Final = 2 * LONGEST_PAUSE_S  # without an answer, after which a chunk is new again
_KEPT: Final = 20_000
"""Chunks remembered: about 1.2 GB of models; past it the oldest are forgotten."""


class Needs:
    """What was answered, and when it may be again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: dict[tuple[str, int], tuple[float, float]] = {}  # when, and the pause that began then

    def due(self, digest: str, chunks: Iterable[int]) -> list[int]:
        """Those that may be published now, and count as published from now on."""
        now, due = self._clock(), []
        for chunk in chunks:
            when, pause = self._answered.get((digest, chunk), (now - _FORGOTTEN_S, 0.0))
            if now - when < pause:
                continue
            again = FIRST_PAUSE_S if now - when >= _FORGOTTEN_S else min(pause * 2, LONGEST_PAUSE_S)
            self._answered.pop((digest, chunk), None)  # so that the order is that of the answers
            self._answered[digest, chunk] = (now, again)
            due.append(chunk)
        while len(self._answered) > _KEPT:
            del self._answered[next(iter(self._answered))]
        return due
