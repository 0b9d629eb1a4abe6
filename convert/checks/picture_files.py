"""From picture files as people have them, the device's tensor must be what training reads of the same square.

`skew` proves the road with pictures whose every pixel is known. Files are otherwise: in colour, as JPEG, larger than
the input by no whole factor, and of any ratio. The device decodes them its own way (a JPEG straight to its grey plane),
looks at each face or at the central square, crops by the manifest and scales once. Training reads a file with the code
of `train.data.rows`: the very same one for a model of whole pictures, and for a model of faces one of the face alone,
cut out as for a folder of faces, upright ones among them. Both start from the same bytes and may differ by rounding, no
more: a model whose manifest names another resize method than its training used, or whose training squeezed pictures
that the device cuts, shows here and nowhere else.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import FaceCrop, ImageInput, ModelManifest
from edge_vision.crop import face_square
from edge_vision.picture import Box, central_square, decode
from edge_vision.recognition import decoded, fill
from train.data import rows
from train.data.rows import PictureFormat

ROUNDING: Final = 4
"""Grey levels by which the two readings of a face may differ, since training's file was made from the device's: a
JPEG's grey plane is not the grey of its rounded colours, and PNG decoders cut off where OpenCV's own conversion rounds.
2 were measured over a thousand faces; 6 on noise of pure colours as JPEG. Of the same file the readings are equal."""

_ENLARGED: Final = 4.37  # times: no whole factor, where bilinear scaling would hit the original's pixels
_BORDER: Final = 21  # pixels of other picture around the face
_SKIN: Final = (0.82, 0.95, 1.1)  # blue, green, red: a tint, so that colour order and grey weights matter
_RATIOS: Final = (1.0, 4 / 3, 3 / 4, 16 / 9, 562 / 762)
"""Width over height of the pictures that files are made as, in turn: a camera's, a telephone's, a face crop's."""


class Sighting(NamedTuple):
    """A face in a picture file, or the file alone for a model of whole pictures."""

    file: bytes
    """JPEG, PNG or whatever else is decoded."""
    box: Box
    """Where a detector would see the face; a model of whole pictures does not ask."""


def device_tensors(sightings: Sequence[Sighting], manifest: ModelManifest) -> NDArray[np.uint8]:
    """What the agent would hand the model [N, height, width, channels].

    Raises:
        UsageError: a file is no picture, or a box none.
    """
    tensors = np.zeros((len(sightings), *manifest.input.shape[1:]), np.uint8)
    for sighting, tensor in zip(sightings, tensors, strict=True):
        picture = decoded(sighting.file, manifest)
        box = central_square(picture) if manifest.crop.around == "frame" else sighting.box
        fill(tensor, picture, box, manifest)
    return tensors


def training_images(sightings: Sequence[Sighting], crop: FaceCrop, image: ImageInput) -> NDArray[np.uint8]:
    """What training would read: of the files, or of the same faces cut out of them [N, height, width, channels].

    Raises:
        UsageError: a file is no picture, or a box none.
    """
    form = PictureFormat(image.height, image.width, "grey" if image.color == "gray" else "rgb")
    files = (
        sighting.file if crop.around == "frame" else _saved(cut_out(sighting, crop, upright=number % 3 == 2))
        for number, sighting in enumerate(sightings)
    )
    return np.stack([rows.fitted(rows.decoded(file, form), form) for file in files])


def cut_out(sighting: Sighting, crop: FaceCrop, *, upright: bool = False) -> NDArray[np.uint8]:
    """The square around the face as a BGR picture of its own, border pixels repeated outside the file's.

    `upright` leaves a quarter of it above and as much below, as face crops of 562x762 do: the central square stays.

    Raises:
        UsageError: the file is no picture, or the box none.
    """
    whole = decode(sighting.file, gray=False)
    left, top, side = face_square(sighting.box, crop)
    more = side // 4 if upright else 0
    border = max(0, -left, more - top, left + side - whole.shape[1], top + side + more - whole.shape[0])
    padded = cv2.copyMakeBorder(whole, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(padded[top - more + border :, left + border :][: side + 2 * more, :side], np.uint8)


def photographed(images: NDArray[np.uint8], crop: FaceCrop) -> list[Sighting]:
    """Training's images [N, height, width, 1 or 3] as files: larger, in colour, of several ratios, JPEG and PNG."""
    return [
        _photograph(image, crop, ".png" if number % 2 else ".jpg", _RATIOS[number % len(_RATIOS)])
        for number, image in enumerate(images)
    ]


def _photograph(image: NDArray[np.uint8], crop: FaceCrop, form: str, ratio: float) -> Sighting:
    colour = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
    large = cv2.resize(cv2.cvtColor(image, colour), None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    tinted = np.clip(large * np.asarray(_SKIN), 0, 255).astype(np.uint8)
    height, width = tinted.shape[:2]
    border = 0 if crop.around == "frame" else _BORDER
    across = border + round((height * max(ratio, 1.0) - width) / 2)
    along = border + round((width / min(ratio, 1.0) - height) / 2)
    scene = cv2.copyMakeBorder(tinted, along, along, across, across, cv2.BORDER_REFLECT)
    _, file = cv2.imencode(form, scene)
    side = height / crop.margin
    center_x, center_y = across + width / 2, along + height / 2 - crop.shift_y * height
    return Sighting(file.tobytes(), Box(center_x - side / 2, center_y - side / 2, side, side))


def _saved(picture: NDArray[np.uint8]) -> bytes:
    _, file = cv2.imencode(".png", picture)
    return bytes(file.tobytes())
