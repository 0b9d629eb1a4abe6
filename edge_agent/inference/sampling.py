"""One in a second of what could be measured: enough for means over a window, and hardly any work."""

import math
from typing import Final

SPACING_S: Final = 1.0


class Sampling:
    """When the next sample is due."""

    def __init__(self) -> None:
        self._next = -math.inf

    def due(self, moment: float) -> bool:
        """Whether to take one now; `moment` is the scene's, seconds."""
        return moment >= self._next

    def taken(self, moment: float) -> None:
        """One was; the next is due a second later."""
        self._next = moment + SPACING_S
