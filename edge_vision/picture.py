"""What a picture is here: 8-bit grey [height, width] or BGR [height, width, 3], and how other forms become one.

Cameras and files also give 16-bit, with alpha, single-channel with an axis too many, broken or huge pictures; they
are turned into this form, or refused by name, in one place.
"""

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from edge_vision.picture_size import size_of

Pixels = NDArray[np.uint8]

LARGEST_PIXELS: Final = 8192 * 8192
"""An 8K frame has 33 million pixels; what passes twice that is damage or an attack, not a camera."""

WHOLE_PIXELS: Final = 8192 * 4320
"""Up to this, an 8K frame, a picture is decoded pixel for pixel. Decoding takes 6 bytes a pixel in colour (measured),
the service has 384 MB: a larger JPEG, such as a telephone's 50 megapixels, is decoded at half its sides."""

LARGEST_BYTES: Final = 64 * 1024 * 1024
"""The largest encoded picture that is decoded."""

_JPEG: Final = b"\xff\xd8\xff"


class Box(NamedTuple):
    """A face's rectangle in pixels of the picture; it may reach over the edge."""

    left: float
    top: float
    width: float
    height: float


def central_square(picture: Pixels) -> Box:
    """The largest square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = min(height, width)
    return Box((width - side) / 2, (height - side) / 2, side, side)


def as_picture(array: NDArray[Any]) -> Pixels:
    """This array as a picture: 16-bit keeps its upper eight bits, alpha is dropped, a grey axis too many goes.

    Raises:
        UsageError: empty, too large, or of no form a camera gives; the text says which.
    """
    shape = list(array.shape)
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise UsageError(f"a frame of shape {shape} is no picture: grey, BGR or BGRA with at least one pixel is.")
    refuse_too_large(shape[1], shape[0])
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise UsageError(f"a frame of {array.dtype} is no picture: 8 or 16 unsigned bits a channel are.")
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    elif array.ndim == 3 and shape[2] == 4:
        array = array[:, :, :3]
    return np.ascontiguousarray(array)


def as_gray(picture: Pixels) -> Pixels:
    """The grey plane of a picture."""
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def refuse_too_large(width: int, height: int, most: int = LARGEST_PIXELS) -> None:
    """Hold a limit of pixels.

    Raises:
        UsageError: a picture of so many is refused.
    """
    if width * height > most:
        raise UsageError(f"a picture of {width}x{height} pixels passes the limit of {most:,}", remedy="make it smaller")


def decode(data: bytes, *, gray: bool) -> Pixels:
    """Decode a JPEG, PNG or other encoded picture; JPEG straight to its grey plane when `gray`.

    Its size is read from the header first: what is too large costs no memory.

    Raises:
        UsageError: too large, damaged, or not a picture.
    """
    array = _read(data, (cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR) | cv2.IMREAD_ANYDEPTH)
    if array.dtype == np.uint8:
        return as_picture(array)
    picture = decode_as_stored(data)  # all colours say how many bits are used, not their grey alone
    if gray:
        return as_gray(picture)
    return picture if picture.ndim == 3 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)


def decode_as_stored(data: bytes) -> Pixels:
    """Decode an encoded picture to grey or BGR, whichever the file holds.

    Raises:
        UsageError: too large, damaged, or not a picture.
    """
    array = _read(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if array.dtype == np.uint16:
        array = eight_bits(array)
    elif array.dtype != np.uint8:  # real numbers, which OpenCV brings to eight bits itself
        array = _read(data, cv2.IMREAD_ANYCOLOR)
    return as_picture(array)


def eight_bits(array: NDArray[np.uint16]) -> Pixels:
    """A picture file's 16-bit values in eight: the upper eight of the 8, 10, 12, 14 or 16 bits that its values use.

    Sensors of 10 to 14 bits are stored in files of 16, and no common format says so; by the file's own bits such a
    picture is black. A picture whose brightest value needs fewer bits than its sensor has comes out brighter, in
    training as on the device. A camera's frames are not guessed at (`as_picture`): they would flicker.
    """
    used = int(array.max(initial=0)).bit_length()
    bits = next(bits for bits in (8, 10, 12, 14, 16) if used <= bits)
    return (array >> (bits - 8)).astype(np.uint8)


def _read(data: bytes, flags: int) -> NDArray[Any]:
    """What OpenCV decodes with these flags.

    Raises:
        UsageError: too large, damaged, or not a picture.
    """
    if not data or len(data) > LARGEST_BYTES:
        raise UsageError(f"an encoded picture of {len(data)} bytes: 1 to {LARGEST_BYTES} are decoded.")
    size = size_of(data)
    if size is None or min(size) < 1:
        raise UsageError(f"{len(data)} bytes are no picture, or a damaged one.")
    halved = size.width * size.height > WHOLE_PIXELS and data.startswith(_JPEG)
    refuse_too_large(*size, LARGEST_PIXELS if halved else WHOLE_PIXELS)
    if halved:
        colour = flags & (cv2.IMREAD_COLOR | cv2.IMREAD_ANYCOLOR)
        flags = cv2.IMREAD_REDUCED_COLOR_2 if colour else cv2.IMREAD_REDUCED_GRAYSCALE_2
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # such as more pixels than OpenCV decodes
        raise UsageError(f"a picture of {len(data)} bytes cannot be decoded ({error.err or error}).") from error
    if array is None:
        raise UsageError(f"{len(data)} bytes are no picture, or a damaged one.")
    return array
