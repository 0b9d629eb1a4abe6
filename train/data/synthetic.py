"""Parametric grey faces of the seven emotions: for the demo and tests, without a download and without a photograph.

A face is an oval with brows, eyes, nose and mouth; an emotion is a shift of their shapes (after the facial action
units of Ekman and Friesen 1978: brows raised or drawn together, lids opened or narrowed, lip corners up or down, jaw
dropped). Pose, proportions, light, blur and noise vary far more between faces than some emotions differ, so a network
has something to learn. A model trained on this knows drawings, not people.
"""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.data.rows import EMOTIONS, TRAIN, PictureFormat, Rows, fitted
from train.progress import steps

RENDERER = 1  # part of the source digest: raise it when the same seed gives other pixels
CANVAS = 144  # pixels a side; drawn three times larger than needed, then averaged down
LARGEST = 200_000  # pictures; 48x48 grey they fill 460 MB

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Expression:
    """Shapes in units of half the face's width, positive downwards; what an emotion changes and a person varies."""

    brow_height: float  # of the whole brow; negative is raised
    brow_inner: float  # of its inner end on top of that; positive is drawn down
    eye_open: float  # height of the eye's opening
    mouth_corner: float  # of the lip corners against the middle; negative is a smile
    mouth_open: float  # height of the opening
    mouth_width: float
    nose_wrinkle: float  # 0 to 1
    mouth_skew: float  # one corner against the other


EXPRESSIONS = {
    "angry": Expression(0.08, 0.17, 0.10, 0.06, 0.03, 0.36, 0.2, 0.0),
    "disgust": Expression(0.05, 0.07, 0.08, 0.12, 0.08, 0.34, 1.0, 0.08),
    "fear": Expression(-0.12, -0.12, 0.20, 0.05, 0.13, 0.44, 0.0, 0.0),
    "happy": Expression(-0.01, 0.0, 0.11, -0.19, 0.11, 0.50, 0.0, 0.0),
    "sad": Expression(0.0, -0.17, 0.10, 0.16, 0.0, 0.34, 0.0, 0.0),
    "surprise": Expression(-0.19, 0.0, 0.23, 0.0, 0.30, 0.27, 0.0, 0.0),
    "neutral": Expression(0.0, 0.0, 0.14, 0.0, 0.0, 0.38, 0.0, 0.0),
}


def read(source: str, form: PictureFormat, seed: int) -> Rows:
    """Render `synthetic:N`: N faces, the emotions in turn.

    Raises:
        UsageError: N is no number, too small for the splits, or larger than memory should hold.
    """
    text = source.removeprefix("synthetic:")
    count = int(text) if text.isascii() and text.isdigit() else -1
    if not 20 * len(EMOTIONS) <= count <= LARGEST:
        raise UsageError(
            f"{source} names no number of faces",
            remedy=f"give a number of faces from {20 * len(EMOTIONS)} to {LARGEST}, such as synthetic:2100",
        )
    labels = np.arange(count, dtype=np.uint8) % len(EMOTIONS)
    images = np.stack([
        fitted(render(EMOTIONS[label], np.random.default_rng([seed, index])), form)
        for index, label in enumerate(steps(labels, "rendering faces"))
    ])  # fmt: skip
    return Rows(
        images=images,
        labels=labels,
        split=np.full(count, TRAIN, np.uint8),
        label_names=EMOTIONS,
        places=[f"face {index}" for index in range(count)],
        votes=np.empty((count, 0), np.uint8),
        vote_names=(),
        resized=[],
        problems=[],
        digest=hashlib.sha256(f"synthetic {RENDERER} {count} {seed}".encode()).hexdigest(),
    )


def render(emotion: str, rng: np.random.Generator) -> Picture:
    """One grey face [48,48], framed like FER2013's: the face fills the picture."""
    shades = _Shades.draw(rng)
    canvas = np.full((CANVAS, CANVAS), shades.background, np.float32)
    _draw_face(canvas, _vary(EXPRESSIONS[emotion], rng), shades, rng)
    return _photograph(canvas, rng)


@dataclass(frozen=True, slots=True)
class _Shades:
    skin: float
    hair: float
    lips: float
    background: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Shades":
        skin = rng.uniform(70, 215)
        return cls(
            skin, hair=rng.uniform(10, 0.8 * skin), lips=skin * rng.uniform(0.45, 0.75), background=rng.uniform(5, 250)
        )


def _vary(expression: Expression, rng: np.random.Generator) -> Expression:
    """The same emotion by another person: weaker or stronger, and never quite the same."""
    strength = rng.uniform(0.6, 1.25)
    rest = EXPRESSIONS["neutral"]
    values = [
        getattr(rest, name) + strength * (getattr(expression, name) - getattr(rest, name)) + rng.normal(0, spread)
        for name, spread in zip(
            Expression.__dataclass_fields__, (0.02, 0.02, 0.012, 0.02, 0.012, 0.03, 0.05, 0.015), strict=True
        )
    ]
    varied = Expression(*values)
    return Expression(
        varied.brow_height, varied.brow_inner, max(varied.eye_open, 0.03), varied.mouth_corner,
        max(varied.mouth_open, 0.0), max(varied.mouth_width, 0.2), float(np.clip(varied.nose_wrinkle, 0, 1)),
        varied.mouth_skew,
    )  # fmt: skip


def _draw_face(canvas: NDArray[np.float32], face: Expression, shades: _Shades, rng: np.random.Generator) -> None:
    middle, half = CANVAS / 2, CANVAS * rng.uniform(0.36, 0.44)
    length = rng.uniform(1.15, 1.4)
    eye_apart, eye_row = rng.uniform(0.38, 0.48), rng.uniform(-0.28, -0.18)
    mouth_row, thick = rng.uniform(0.55, 0.68), rng.uniform(0.03, 0.06)
    dark = 0.25 * shades.skin

    def at(x: float, y: float) -> tuple[int, int]:
        return round(middle + half * x), round(middle + half * y)

    def size(value: float) -> int:
        return max(1, round(half * value))

    hair = at(0, -0.25)
    cv2.ellipse(canvas, hair, (size(1.12), size(length)), 0, 0, 360, shades.hair, -1)
    cv2.ellipse(canvas, at(0, 0.05), (size(0.95), size(length * 0.95)), 0, 0, 360, shades.skin, -1)
    for side in (-1, 1):
        eye = at(side * eye_apart, eye_row)
        cv2.ellipse(canvas, eye, (size(0.2), size(face.eye_open)), 0, 0, 360, min(shades.skin * 1.35 + 25, 250), -1)
        cv2.circle(canvas, eye, size(min(0.09, face.eye_open)), dark * 0.5, -1)
        cv2.ellipse(canvas, eye, (size(0.2), size(face.eye_open)), 0, 180, 360, dark, size(0.03))
        brow = eye_row - 0.27 + face.brow_height
        inner, outer = at(side * (eye_apart - 0.2), brow + face.brow_inner), at(side * (eye_apart + 0.24), brow + 0.03)
        top = at(side * eye_apart, brow - 0.05 + face.brow_inner / 3)
        _stroke(canvas, [inner, top, outer], shades.hair * 0.8, size(thick * 1.6))
        if face.nose_wrinkle > 0.3:
            _stroke(canvas, [at(side * 0.06, eye_row + 0.12), at(side * 0.16, eye_row + 0.2)], dark, size(0.025))
            _stroke(canvas, [at(side * 0.2, 0.25), at(side * 0.42, 0.5)], dark * 1.6, size(0.03))
    _stroke(canvas, [at(0, eye_row + 0.2), at(0.06, 0.28), at(-0.08, 0.3)], shades.skin * 0.7, size(0.035))
    left = at(-face.mouth_width, mouth_row + face.mouth_corner + face.mouth_skew)
    right = at(face.mouth_width, mouth_row + face.mouth_corner - face.mouth_skew)
    upper, lower = at(0, mouth_row - face.mouth_open * 0.4), at(0, mouth_row + face.mouth_open)
    if face.mouth_open > 0.04:
        outline = np.concatenate([_curve(left, upper, right), _curve(right, lower, left)])
        cv2.fillPoly(canvas, [outline], dark * 0.6)
    _stroke(canvas, [left, upper, right], shades.lips, size(thick))
    _stroke(canvas, [left, lower, right], shades.lips, size(thick * 1.3))


def _curve(start: tuple[int, int], through: tuple[int, int], end: tuple[int, int]) -> NDArray[np.int32]:
    """A quadratic curve that passes all three points, [17,2]."""
    a, b, c = (np.array(point, np.float64) for point in (start, through, end))
    control = 2 * b - (a + c) / 2
    t = np.linspace(0, 1, 17)[:, None]
    return np.rint((1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * c).astype(np.int32)


def _stroke(canvas: NDArray[np.float32], points: list[tuple[int, int]], shade: float, width: int) -> None:
    line = _curve(points[0], points[1], points[2]) if len(points) == 3 else np.array(points, np.int32)
    cv2.polylines(canvas, [line], False, shade, width)


def _photograph(canvas: NDArray[np.float32], rng: np.random.Generator) -> Picture:
    """Pose, light from one side, camera blur and sensor noise; then 48x48 grey levels."""
    turn, zoom = rng.uniform(-12, 12), rng.uniform(0.92, 1.15)
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), turn, zoom)
    matrix[:, 2] = matrix[:, 2] + rng.uniform(-0.05, 0.05, 2) * CANVAS
    matrix[0, 1] = matrix[0, 1] + rng.uniform(-0.12, 0.12)  # a head turned a little aside leans in the picture
    posed = cv2.warpAffine(canvas, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(posed, (48, 48), interpolation=cv2.INTER_AREA)
    direction = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1:1:48j, -1:1:48j]
    light = 1 + rng.uniform(0, 0.45) * (np.cos(direction) * columns + np.sin(direction) * rows)
    lit = small * light * rng.uniform(0.55, 1.2) + rng.uniform(-20, 20)
    blurred = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 1.1))
    return np.clip(np.rint(blurred + rng.normal(0, rng.uniform(1, 9), (48, 48))), 0, 255).astype(np.uint8)
