"""A clip of a real face without a camera: a portrait moved, zoomed, turned, re-lit and blurred over time.

The portrait is the public-domain NASA photograph inside scikit-image. Every motion is a whole number of sine waves, so
the clip loops without a jump.
"""

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_contract.errors import EdgewiseError

WIDTH: Final = 640
HEIGHT: Final = 480
FRAMES_PER_SECOND: Final = 30

Picture = npt.NDArray[np.uint8]


def portrait() -> Picture:
    """The portrait that scikit-image carries, BGR [512, 512, 3]."""
    from skimage import data  # noqa: PLC0415  # half a second and 100 MB that only the rendering needs

    return np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)


def frame(picture: Picture, phase: float, noise: np.random.Generator) -> Picture:
    """One frame [480, 640, 3] of the clip; `phase` runs from 0 to 1 over its length."""
    turn = 2 * math.pi * phase
    zoom = 0.95 + 0.25 * math.sin(turn)
    moved = cv2.getRotationMatrix2D((picture.shape[1] * 0.45, picture.shape[0] * 0.25), 8 * math.sin(2 * turn), zoom)
    moved[0, 2] += WIDTH / 2 - picture.shape[1] * 0.45 + 90 * math.sin(turn + 1)
    moved[1, 2] += HEIGHT / 2 - picture.shape[0] * 0.25 + 40 * math.cos(turn)
    scene = cv2.warpAffine(picture, moved, (WIDTH, HEIGHT), borderMode=cv2.BORDER_CONSTANT, borderValue=(96, 92, 88))
    blur = 1.6 * max(0.0, math.sin(3 * turn))  # sharp for half of the time, as a camera that hunts for focus
    if blur > 0.2:
        scene = cv2.GaussianBlur(scene, (0, 0), blur)
    light = 1.0 + 0.35 * math.sin(2 * turn + 2)
    grain = noise.standard_normal(scene.shape, np.float32) * 4
    lit = np.clip(np.asarray(scene, np.float32) * light + grain, 0, 255)
    return np.asarray(lit, np.uint8)


def render(path: Path, seconds: float = 10.0) -> int:
    """Write the clip as Motion JPEG, which every OpenCV reads without a codec; return its number of frames.

    Raises:
        EdgewiseError: the file could not be written.
    """
    picture = portrait()
    noise = np.random.default_rng(0)
    count = round(seconds * FRAMES_PER_SECOND)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FRAMES_PER_SECOND, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise EdgewiseError(
            f"the clip could not be written to {path}", remedy="check that its folder exists and the disk has room"
        )
    try:
        for index in range(count):
            writer.write(frame(picture, index / count, noise))
    finally:
        writer.release()
    return count
