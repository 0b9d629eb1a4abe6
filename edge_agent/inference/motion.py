"""The motion gate: does this frame differ from the last one that was looked at?

A sixteenth of a millisecond here saves detector and classifier in front of an empty corridor. Differences are judged
in blocks, so that a small face that moves counts and a sensor's noise, averaged away in each block, does not.
"""

from typing import Final

import cv2
import numpy as np

from edge_vision.picture import Pixels

_WIDTH, _HEIGHT = 160, 120
_BLOCK: Final = 8
"""Side of a block in the 160x120 copy: 20 x 15 blocks a frame."""


class MotionGate:
    """Remembers the last frame that moved; slow changes add up until they count."""

    def __init__(self, threshold: float) -> None:
        """`threshold`: mean difference of a block, in grey levels 0..255, that counts as motion; 0 always moves."""
        self._threshold = threshold
        self._reference: Pixels | None = None

    def moved(self, gray: Pixels) -> bool:
        """Whether this grey frame, or a small copy of it, shows motion; a frame of another shape does."""
        small = np.asarray(cv2.resize(gray, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR), np.uint8)
        if self._reference is None or self._threshold <= 0:
            self._reference = small
            return True
        difference = cv2.absdiff(small, self._reference)
        blocks = cv2.resize(difference, (_WIDTH // _BLOCK, _HEIGHT // _BLOCK), interpolation=cv2.INTER_AREA)
        if float(blocks.max()) < self._threshold:
            return False
        self._reference = small
        return True
