"""One frame between the capture thread and the pipeline: the newest wins, and every frame replaced is counted.

Frames of a file played as fast as possible are handed over instead: the reader waits until its frame was taken, so
none is ever dropped.
"""

import threading
from dataclasses import dataclass

from edge_vision.picture import Pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and when it was there."""

    picture: Pixels
    captured: float
    """When its bytes were in memory, before they were decoded; seconds of the pipeline's clock."""
    decoding: float
    """How long decoding took, seconds."""
    moment: float
    """When it was in the scene: as `captured` for a camera, the place in the clip for a file played fast; seconds."""
    gray: bool
    """It was decoded to grey: a model that takes colours cannot be shown it."""
    unchanged: float | None = None
    """For how long the camera has given the very same picture, seconds, through lost connections; 0 where it changes.
    None of what is no camera."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame, and how many were replaced since the last one taken."""

    frame: Frame
    dropped_before: int


class Mailbox:
    """Room for one frame; one thread puts, one takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._dropped = 0

    def put(self, frame: Frame) -> None:
        """Leave the newest frame; one not taken yet is dropped and counted."""
        with self._changed:
            if self._frame is not None:
                self._dropped += 1
            self._frame = frame
            self._changed.notify_all()

    def hand_over(self, frame: Frame, given_up: threading.Event) -> None:
        """Leave a frame once the one before was taken; gives up, leaving nothing, when `given_up` is set."""
        with self._changed:
            while self._frame is not None:
                if given_up.is_set():
                    return
                self._changed.wait(0.1)  # given_up does not notify
            self._frame = frame
            self._changed.notify_all()

    def waiting(self) -> bool:
        """Whether a frame lies here."""
        return self._frame is not None

    def take(self, timeout: float) -> Taken | None:
        """The frame that lies here, waiting up to `timeout` seconds for one."""
        with self._changed:
            if self._frame is None:
                self._changed.wait(timeout)
            if self._frame is None:
                return None
            taken = Taken(self._frame, self._dropped)
            self._frame, self._dropped = None, 0
            self._changed.notify_all()
            return taken
