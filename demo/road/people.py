"""Drawn people who pass before a camera one after the other, in the light as it was, or with glare on the lens.

Whoever shows them knows what each of them feels: that is the truth that labels and accuracies are held against.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vision.faces import open_detector
from edge_vision.recognition import search_copy
from train.data.rows import EMOTIONS
from train.data.synthetic import render

Picture = NDArray[np.uint8]
Scene = Literal["as it was", "glare", "turned"]

WIDTH: Final = 640
HEIGHT: Final = 480
FACE: Final = 220
"""Side of the square that a face fills, pixels."""
_WALL: Final = 110
_NOISE: Final = 3.0
"""Standard deviation of the sensor's noise, grey levels."""
_MARGIN: Final = 64
"""By how many pixels the sheet of noise is larger than a picture, each way."""
_GLARE: Final = (0.45, 128.0)
"""What is left of the contrast, and the grey that is added: a window opposite, without its blind."""
_TURN: Final = 58.0
"""Degrees by which the camera was knocked aside: people are seen from the side, and their faces are narrow."""
_FOCAL: Final = 700.0
"""Of the camera's lens, in pixels."""


@dataclass(frozen=True, slots=True)
class Person:
    """One drawn person."""

    emotion: str
    face: Picture
    """uint8 grey [side, side]."""


def people(seed: int) -> Iterator[Person]:
    """Persons without end, the emotions in turn: those whom the face detector finds in the light as it was."""
    detector, noise, number = open_detector(None), Noise(seed), 0
    while True:
        emotion = EMOTIONS[number % len(EMOTIONS)]
        for attempt in range(20):
            drawn = render(emotion, np.random.default_rng([seed, number, attempt]))
            person = Person(emotion, _enlarged(drawn))
            frame = picture(person, 0.5, "as it was", noise)
            if detector.detect(search_copy(frame).pixels):
                yield person
                break
        number += 1


class Noise:
    """A sensor's noise: one sheet is drawn, larger than a picture, and each picture gets another part of it.

    Drawn anew for each picture it would cost more of the machine than the agents that look at it.
    """

    def __init__(self, seed: int) -> None:
        """The same seed, the same noise."""
        self._chance = np.random.default_rng(seed)
        sheet = self._chance.normal(0, _NOISE, (HEIGHT + _MARGIN, WIDTH + _MARGIN))
        self._sheet = sheet.astype(np.float32)

    def part(self) -> NDArray[np.float32]:
        """Of the next picture: float32 [480, 640], grey levels."""
        top, left = self._chance.integers(0, _MARGIN, 2)
        return self._sheet[top : top + HEIGHT, left : left + WIDTH]


def picture(person: Person | None, place: float, scene: Scene, noise: Noise) -> Picture:
    """What the camera sees, uint8 grey [480, 640]. `place`: of the person, 0 left to 1 right; None: nobody is there."""
    canvas = np.full((HEIGHT, WIDTH), _WALL, np.float32)
    if person is not None:
        left, top = round((WIDTH - FACE) * (0.35 + 0.3 * place)), (HEIGHT - FACE) // 2
        canvas[top : top + FACE, left : left + FACE] = person.face
    if scene == "turned":
        turned = cv2.warpPerspective(canvas, _turned(), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        canvas = np.asarray(turned, np.float32)
    if scene == "glare":
        canvas = canvas * _GLARE[0] + _GLARE[1]
    return np.asarray(cv2.add(canvas, noise.part(), dtype=cv2.CV_8U), np.uint8)


def _turned() -> NDArray[np.float64]:
    """What was seen straight on, as it is seen by a camera that was turned about its vertical axis: [3, 3]."""
    angle, middle = np.radians(_TURN), (WIDTH / 2, HEIGHT / 2)
    lens = np.array([[_FOCAL, 0, middle[0]], [0, _FOCAL, middle[1]], [0, 0, 1]])
    plane = np.array([[np.cos(angle), 0, 0], [0, 1, 0], [-np.sin(angle), 0, 1]])
    return np.asarray(lens @ plane @ np.linalg.inv(lens), np.float64)


def _enlarged(drawn: Picture) -> Picture:
    return np.asarray(cv2.resize(drawn, (FACE, FACE), interpolation=cv2.INTER_CUBIC), np.uint8)
