"""From a face's box to the model's pixels: the one crop in the world.

Every role crops by way of `recognition`; what differs between models (size, colour, margin, resize) is in the
manifest. Always a square is cut and none is squeezed, of whatever ratio the picture is (docs/adr/0009). The square may
reach over the picture's edge: the border pixels are repeated there, as they were when the margin was measured.
"""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from edge_contract.errors import UsageError
from edge_contract.manifest import WHOLE, FaceCrop, ImageInput
from edge_vision.picture import Box, Pixels, as_gray, central_square

_LARGEST_SQUARE: Final = 4
"""The largest side of a crop, in longer sides of the picture; what is beyond is no face and would only eat memory."""


class Square(NamedTuple):
    """The whole-pixel square of the picture that becomes the tensor."""

    left: int
    top: int
    side: int


def face_square(box: Box, crop: FaceCrop) -> Square:
    """The square that `crop` lays around a box: centred on it, shifted down, at least one pixel wide.

    Raises:
        UsageError: the box has no area or is not finite.
    """
    if not all(map(math.isfinite, box)) or box.width <= 0 or box.height <= 0:
        raise UsageError(f"a face box of {box.width:g} x {box.height:g} pixels at {box.left:g},{box.top:g} is no box.")
    side = crop.margin * max(box.width, box.height)
    center_x = box.left + box.width / 2
    center_y = box.top + box.height / 2 + crop.shift_y * side
    return Square(round(center_x - side / 2), round(center_y - side / 2), max(1, round(side)))


def whole_crop(picture: Pixels, image: ImageInput, out: Pixels) -> None:
    """Write the central square of a whole picture into `out`; arguments and errors as for `face_crop`.

    Training reads every picture with this, and a device a frame for a model of whole pictures.
    """
    face_crop(picture, central_square(picture), image, WHOLE, out)


def face_crop(picture: Pixels, box: Box, image: ImageInput, crop: FaceCrop, out: Pixels) -> None:
    """Write the face at `box` into `out`.

    `picture`: uint8 [height, width] grey or [height, width, 3] BGR, of any size. `out`: uint8 [h, w, c] or [1, h, w, c]
    of `image`'s shape, C-contiguous, such as `Classifier.input`. An RGB model given a grey picture sees grey in all
    three channels.

    Raises:
        UsageError: the picture is not of that form, or the box is no box or far larger than the picture.
    """
    if picture.dtype != np.uint8 or picture.size == 0 or not (picture.ndim == 2 or picture.shape[2:] == (3,)):
        raise UsageError(f"{picture.dtype} {list(picture.shape)} is no picture: 8-bit grey or BGR is.")
    square = face_square(box, crop)
    if square.side > _LARGEST_SQUARE * max(picture.shape[:2]):
        height, width = picture.shape[:2]
        raise UsageError(f"a face of {square.side} pixels in a picture of {width}x{height} is refused.")
    part = _cut(picture, square)
    if image.color == "gray":
        part = as_gray(part)  # the crop only: a face is a fraction of the frame
    shrinking = image.resize == "area" and square.side > max(image.width, image.height)
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    size = (image.width, image.height)
    if image.color == "gray":
        cv2.resize(part, size, dst=out.reshape(image.height, image.width), interpolation=method)
    else:
        to_rgb = cv2.COLOR_BGR2RGB if part.ndim == 3 else cv2.COLOR_GRAY2RGB
        small = cv2.resize(part, size, interpolation=method)
        cv2.cvtColor(small, to_rgb, dst=out.reshape(image.height, image.width, 3))


def _cut(picture: Pixels, square: Square) -> Pixels:
    """The square's pixels, a view where it lies inside the picture, with repeated border where it does not."""
    height, width = picture.shape[:2]
    left, top, side = square
    right, bottom = left + side, top + side
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return picture[top:bottom, left:right]
    columns = np.clip(np.arange(left, right), 0, width - 1)
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    return np.take(np.take(picture, rows, axis=0), columns, axis=1)
