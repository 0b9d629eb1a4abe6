"""How often to run the detector: every k-th frame, k from what a frame may cost and what the stages do cost.

Pure: durations in, k out. Where the detector is dear (a Pi 3) k grows, and tracking bridges more frames; where the
classifier alone fills the budget, k is the largest allowed.
"""

import math
from dataclasses import dataclass
from typing import Final

from edge_agent.inference.settings import DetectIntervalSettings

_SMOOTHING: Final = 0.2
"""Weight of the newest duration in the running means: about the last ten count."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """Running means in seconds; start with `Cadence()`."""

    interval: float = 1 / 30
    """Time between two captured frames."""
    detect: float = 0.0
    """One run of the detector."""
    rest: float = 0.0
    """A frame's work besides the detector."""

    def every(self, settings: DetectIntervalSettings) -> int:
        """The k for now: the smallest that keeps the average frame within the budget."""
        spare = settings.budget * self.interval - self.rest
        if spare <= 0:
            return settings.detect_at_least_every
        return max(settings.detect_every, min(settings.detect_at_least_every, math.ceil(self.detect / spare)))


def step(state: Cadence, *, interval: float, detect: float | None, rest: float) -> Cadence:
    """Take one frame's durations into account; `detect` None where the detector did not run."""
    return Cadence(
        interval=_mean(state.interval, interval),
        detect=state.detect if detect is None else _mean(state.detect or detect, detect),
        rest=_mean(state.rest, rest),
    )


def _mean(old: float, new: float) -> float:
    return old + _SMOOTHING * (new - old)
