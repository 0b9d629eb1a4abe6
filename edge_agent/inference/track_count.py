"""Which face tracks are counted in this frame: each once, when it is over, or earlier when it has lasted. Pure.

What counts is what a person was called, not what each frame was: a test over frames, which are much alike, finds a
change where there is none. A track that got no label, because it had too few looks or none that was clear, counts
nothing. Who sits for hours is counted after the first seconds, and not again.

A model of whole pictures has one thing to look at for ever, which changes without beginning anew: that is counted again
once a minute. Each picture of a folder is a scene of its own, over with the next.
"""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Final

LASTED_S: Final = 5.0
"""From a track's first label to its count: six times the consensus' window, so the first frames weigh nothing more."""
AGAIN_S: Final = 60.0
"""Between two counts of what has no end."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What has been counted of the tracks of one model; start with `Tally()`."""

    due: Mapping[int, float] = field(default_factory=dict)
    """Labelled tracks, and the moment at which each is counted if it lasts; infinity for never again."""
    counted: frozenset[int] = frozenset()
    """Those of them that were."""

    @property
    def next(self) -> float:
        """The moment before which nothing is counted while no track ends."""
        return min(self.due.values(), default=math.inf)


def step(
    tally: Tally, *, labelled: Set[int], known: Set[int], moment: float, endless: bool = False
) -> tuple[Tally, tuple[int, ...]]:
    """The tally after a frame, and the tracks to count now, ascending.

    `labelled`: all that have a label. `known`: all that live; the others are over and forgotten. `moment`: seconds of
    the scene. `endless`: count again what lasts.
    """
    due = dict.fromkeys(labelled, moment + LASTED_S) | dict(tally.due)
    over = due.keys() - known
    lasted = {number for number, when in due.items() if when <= moment} - over
    count = lasted | (over - tally.counted)
    following = {
        number: (moment + AGAIN_S if endless else math.inf) if number in lasted else when
        for number, when in due.items()
        if number not in over
    }
    return Tally(following, (tally.counted | lasted) - over), tuple(sorted(count))
