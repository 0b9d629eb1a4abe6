"""What to say about a face over time: one label that changes after enough agreeing evidence, and does not flicker.

Pure: `step(state, evidence) -> (state, announcement)`. The evidence is a probability vector per classified frame.
Their mean, fading with age, is what counts; a new label must lead it by a margin, pass a threshold, and have been the
leader for a while. Times are seconds of any clock that only grows.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.inference.settings import ConsensusSettings


@dataclass(frozen=True, slots=True)
class Consensus:
    """What is known of one face; start with `Consensus()`."""

    mean: NDArray[np.float64] | None = None
    """Faded sum of evidence divided by its weight: probabilities [labels]."""
    weight: float = 0.0
    seen: int = 0
    last: float = -math.inf
    leader: int = -1
    leading_since: float = math.inf
    label: int | None = None
    """Index of the published label."""
    said: float = -math.inf
    """When it was last announced."""

    @property
    def settled(self) -> bool:
        """More of the same evidence would change nothing: a label is published and it leads."""
        return self.label is not None and self.leader == self.label


@dataclass(frozen=True, slots=True)
class Announcement:
    """A label to publish."""

    label: int
    changed: bool
    """False when the label is only repeated."""
    probabilities: NDArray[np.float64] = field(compare=False)


def step(
    state: Consensus, probabilities: NDArray[np.float32], now: float, settings: ConsensusSettings
) -> tuple[Consensus, Announcement | None]:
    """Take one classified frame's probabilities [labels] into account."""
    mean, weight = _faded_mean(state, probabilities, now, settings.window)
    leader = int(mean.argmax())
    leading_since = state.leading_since if leader == state.leader else now
    seen = state.seen + 1
    label = state.label
    if leader != label and mean[leader] >= settings.threshold and seen >= settings.evidence:
        outlasted = now - leading_since >= settings.hold
        if label is None or (outlasted and mean[leader] - mean[label] >= settings.margin):
            label = leader
    changed = label != state.label
    speak = label is not None and (changed or now - state.said >= settings.repeat)
    following = Consensus(mean, weight, seen, now, leader, leading_since, label, now if speak else state.said)
    return following, Announcement(label, changed, mean) if speak and label is not None else None


def _faded_mean(
    state: Consensus, probabilities: NDArray[np.float32], now: float, window: float
) -> tuple[NDArray[np.float64], float]:
    """The mean of all evidence, each piece weighted by exp(-age / window), and the sum of weights."""
    fresh = probabilities.astype(np.float64)
    if state.mean is None or window <= 0:
        return fresh, 1.0
    kept = state.weight * math.exp(-max(0.0, now - state.last) / window)
    weight = kept + 1.0
    return (state.mean * kept + fresh) / weight, weight
