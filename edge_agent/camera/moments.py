"""Where each frame of a clip lies in it, from the container's timestamps: the pure part.

Clips of telephones, browsers and network cameras have no steady rate, so a count over an average is seconds off. Their
timestamps count as long as they go forward. Where they stand still, begin anew (a loop, clips joined into one) or leap,
the clip goes on by one frame of its nominal rate: a moment never goes back.
"""

import math
from typing import Final

_LONGEST_GAP: Final = 24 * 3600.0
"""Seconds from one frame to the next that a timestamp may claim: cameras that record motion pause for hours."""

_SHORTEST_GAP: Final = 1e-6
"""Timestamps closer than this stand still."""


class Moments:
    """The moments of one clip's frames, in the order in which they are read."""

    def __init__(self, interval: float) -> None:
        """`interval`: seconds from frame to frame where nothing better is known."""
        self._interval = interval
        self._stated = math.nan
        self._moment: float | None = None

    def next(self, stated: float) -> float:
        """Seconds from the first frame to this one. `stated`: its timestamp in seconds, whatever the file says."""
        gap = stated - self._stated
        self._stated = stated
        if self._moment is None:
            self._moment = 0.0
        else:
            self._moment += (
                gap if _SHORTEST_GAP < gap <= _LONGEST_GAP else self._interval
            )  # no number passes neither comparison
        return self._moment
