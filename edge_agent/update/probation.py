"""Evidence about a model on trial, counted on the pipeline's thread and read on the updates' thread."""

import threading
from typing import Final

FRAMES: Final = 30
"""Frames that must go through a new model before it is committed: about a second of video."""
FAILURES: Final = 3
"""Failures in a row that end a trial: one may be the camera's."""


class Probation:
    """One trial at a time; between trials nothing is counted."""

    def __init__(self, frames: int = FRAMES, failures: int = FAILURES) -> None:
        """`frames` prove a model, `failures` in a row disprove it."""
        self._frames, self._failures = frames, failures
        self._lock = threading.Lock()
        self._under_way = False
        self._good = self._bad = 0
        self._reason = ""

    def begin(self) -> None:
        """A trial starts."""
        with self._lock:
            self._under_way, self._good, self._bad, self._reason = True, 0, 0, ""

    def end(self) -> None:
        """It is over."""
        self._under_way = False

    def good(self) -> None:
        """A frame went through the model."""
        if self._under_way:  # read without the lock: this is called for every frame for ever
            with self._lock:
                self._good, self._bad = self._good + 1, 0

    def bad(self, reason: str) -> None:
        """The model failed on a frame."""
        if self._under_way:
            with self._lock:
                self._bad, self._reason = self._bad + 1, reason

    def verdict(self) -> str | None:
        """Empty: proven. A sentence: disproved. None: not enough is known."""
        with self._lock:
            if self._under_way and self._bad >= self._failures:
                return f"the model failed on {self._bad} frames in a row ({self._reason}): rolled back."
            return "" if self._under_way and self._good >= self._frames else None
