"""The built-in picture: a drawn face that moves in front of a wall, for measuring a device that has no clip or camera.

Drawn so that YuNet and Haar both take it for a face, with a sensor's noise, and compressed like a webcam's Motion
JPEG: every stage of the pipeline has its real work. What a model says of a drawing means nothing.
"""

import math
from typing import Final

import cv2
import numpy as np

from edge_agent.camera.files import Pace
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceTraits
from edge_vision.picture import Pixels, decode

WIDTH: Final = 640
HEIGHT: Final = 480
_FRAMES: Final = 48
"""Frames drawn, played forwards and backwards: three seconds at 30 a second, 2 MB."""
_FACE: Final = 220
"""Side of the square the face is drawn in, pixels."""
_NOISE: Final = 3.0
"""Standard deviation of the sensor's noise, grey levels: that of a webcam indoors."""
_OVERSAMPLING: Final = 4
_JPEG_QUALITY: Final = 90


class DrawnSource:
    """The built-in picture as a camera of 640x480, or as fast as it is taken when `pace` is "fast"."""

    def __init__(self, settings: SourceSettings) -> None:
        """Draw the frames; takes about a second on a slow board."""
        self.settings = settings
        self.traits = SourceTraits(
            "the built-in picture", kind="drawn", live=settings.pace == "real-time", camera=False, fps=settings.fps
        )
        self._frames = [_compressed(scene) for scene in _scenes()]

    def connect(self) -> "DrawnStream":
        """Begin with the first frame."""
        return DrawnStream(self._frames, self.settings)


class DrawnStream:
    """The frames, to and fro without end."""

    def __init__(self, frames: list[bytes], settings: SourceSettings) -> None:
        self.fps = settings.fps
        self._round = frames + frames[-2:0:-1]
        self._next = 0
        self._pace = Pace(self.fps) if settings.pace == "real-time" else None

    def grab(self) -> bool:
        """Wait until the next frame is due."""
        if self._pace is not None:
            self._pace.wait()
        self._next += 1
        return True

    def retrieve(self, *, gray: bool) -> Pixels:
        """The frame's pixels, decoded."""
        return decode(self._round[(self._next - 1) % len(self._round)], gray=gray)

    def close(self) -> None:
        """Nothing is held open."""


def face(side: int = _FACE) -> Pixels:
    """A drawn face from the front, uint8 grey [side, side]."""
    n = side * _OVERSAMPLING
    canvas = np.full((n, n), 70, np.uint8)

    def oval(x: float, y: float, width: float, height: float, gray: int) -> None:
        """All in shares of the side; `width` and `height` are half axes."""
        cv2.ellipse(canvas, (int(n * x), int(n * y)), (int(n * width), int(n * height)), 0, 0, 360, gray, -1)

    def arc(x: float, y: float, width: float, height: float, first: int, gray: int, thick: float) -> None:
        axes = (int(n * width), int(n * height))
        cv2.ellipse(canvas, (int(n * x), int(n * y)), axes, 0, first, first + 180, gray, int(n * thick))

    oval(0.50, 0.46, 0.36, 0.44, 35)  # hair
    cv2.rectangle(canvas, (int(n * 0.38), int(n * 0.75)), (int(n * 0.62), n), 150, -1)  # neck
    oval(0.50, 0.52, 0.29, 0.38, 185)
    oval(0.50, 0.28, 0.20, 0.08, 205)  # light on the forehead
    for x in (0.36, 0.64):
        oval(x, 0.60, 0.09, 0.07, 198)  # cheeks
    for x in (0.38, 0.62):
        oval(x, 0.45, 0.085, 0.055, 140)  # sockets
        oval(x, 0.46, 0.062, 0.028, 235)
        oval(x, 0.46, 0.027, 0.027, 40)  # pupils
        arc(x, 0.395, 0.085, 0.022, 180, 45, 0.022)  # brows
    arc(0.50, 0.615, 0.060, 0.030, 0, 120, 0.014)  # nose
    for x in (0.475, 0.525):
        oval(x, 0.62, 0.010, 0.010, 90)
    oval(0.50, 0.715, 0.100, 0.026, 105)  # lips
    cv2.line(canvas, (int(n * 0.40), int(n * 0.715)), (int(n * 0.60), int(n * 0.715)), 70, int(n * 0.008))
    soft = cv2.GaussianBlur(canvas, (0, 0), n * 0.008)
    return np.asarray(cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _scenes() -> list[Pixels]:
    """The face going from left to right and a little up and down, in front of an uneven wall."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    wall = (90 + 20 * np.sin(columns / 97) * np.cos(rows / 71)).astype(np.uint8)
    drawn = face()
    noise = np.empty((HEIGHT, WIDTH), np.int16)
    scenes = []
    for frame in range(_FRAMES):
        share = frame / (_FRAMES - 1)
        left = round((WIDTH - _FACE) * (0.15 + 0.7 * share))
        top = round((HEIGHT - _FACE) * (0.5 + 0.2 * math.sin(2 * math.pi * share)))
        scene = wall.copy()
        scene[top : top + _FACE, left : left + _FACE] = drawn
        cv2.randn(noise, np.zeros(1), np.full(1, _NOISE))
        scenes.append(np.clip(scene + noise, 0, 255).astype(np.uint8))
    return scenes


def _compressed(scene: Pixels) -> bytes:
    _, data = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return bytes(data.tobytes())
