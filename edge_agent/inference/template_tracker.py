"""Where a face went between two detections, from pixels: a small template, searched around the last place.

The template is cut at the detection and never renewed before the next one, so errors do not add up. Sizes do not
change in between. Measured against a detector on every frame, see `benchmarks/agent.py`.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vision.picture import Box, Pixels

_TEMPLATE: Final = 24
"""Longer side of the template, in pixels of the scaled picture: enough of a face, 30 microseconds a search."""
_REACH: Final = 0.4
"""How far around the last place is searched, in longer sides of the box: 12 box widths a second at 30 frames."""
_LEAST_MATCH: Final = 0.5
"""Normalised correlation below which the face is not there any more; 1 is equal up to brightness and contrast."""


@dataclass(frozen=True, slots=True)
class Template:
    """A face as it looked at its last detection."""

    pixels: Pixels
    scale: float
    """Pixels of the template per pixel of the picture it was cut from."""
    box: Box
    """Where it was cut; the box that is followed has this size."""


def template_of(picture: Pixels, box: Box) -> Template | None:
    """The template of the face at `box` in a grey picture; None where too little of it is inside."""
    scale = min(1.0, _TEMPLATE / max(box.width, box.height))
    left, top, right, bottom = _inside(picture, box, 0.0)
    if right - left < 0.5 * box.width or bottom - top < 0.5 * box.height or min(right - left, bottom - top) < 4:
        return None
    pixels = _scaled(picture[top:bottom, left:right], scale)
    return Template(pixels, scale, Box(left, top, right - left, bottom - top)) if float(pixels.std()) > 1.0 else None


def follow(picture: Pixels, template: Template, box: Box) -> Box | None:
    """Where the face that was at `box` in the last picture is in this one; None when it is not found around there."""
    left, top, right, bottom = _inside(picture, box, _REACH)
    if right - left < 1 or bottom - top < 1:
        return None
    area = _scaled(picture[top:bottom, left:right], template.scale)
    height, width = template.pixels.shape
    if area.shape[0] < height or area.shape[1] < width:
        return None
    match = cv2.matchTemplate(area, template.pixels, cv2.TM_CCOEFF_NORMED)
    _, best, _, (column, row) = cv2.minMaxLoc(match)
    if not best >= _LEAST_MATCH:
        return None
    shift_x, shift_y = _peak(match[row], column), _peak(match[:, column], row)
    # `area` was scaled by whole pixels: use the scale that came out, not the one asked for.
    found_left = left + shift_x * (right - left) / area.shape[1]
    found_top = top + shift_y * (bottom - top) / area.shape[0]
    return Box(found_left, found_top, box.width, box.height)


def _scaled(part: Pixels, scale: float) -> Pixels:
    if scale >= 1.0:
        return part
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


def _inside(picture: Pixels, box: Box, reach: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the box widened by `reach` of its longer side, cut at the picture's edge."""
    more = reach * max(box.width, box.height)
    height, width = picture.shape[:2]
    return (
        max(0, round(box.left - more)),
        max(0, round(box.top - more)),
        min(width, round(box.left + box.width + more)),
        min(height, round(box.top + box.height + more)),
    )


def _peak(values: NDArray[Any], at: int) -> float:
    """The position of the maximum between samples: the vertex of the parabola through it and its neighbours."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, here, after = (float(values[at + offset]) for offset in (-1, 0, 1))
    bend = before - 2 * here + after
    return at + (0.5 * (before - after) / bend if bend < 0 else 0.0)
