"""From picture files as people have them, the device's tensor must be what training reads of the same square.

`skew` proves the road with pictures whose every pixel is known. Files are otherwise: in colour, as JPEG, larger than
the input by no whole factor. The device decodes them its own way (a JPEG straight to its grey plane), crops by the
manifest and scales once. Training reads a picture of the square alone, cut out as for a folder of
faces, with the code of `train.data.rows`. Both start from the same bytes and may differ by rounding, no more: a model
whose manifest names another resize method than its training used shows here and nowhere else.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from edge_contract.manifest import FaceCrop, ImageInput, ModelManifest
from edge_vision.crop import face_square
from edge_vision.picture import Box
from edge_vision.recognition import decoded, fill
from train.data.rows import PictureFormat, fitted

ROUNDING: Final = 4
"""Grey levels by which the two readings may differ: a JPEG's grey plane is not the grey of its rounded colours, and PNG
decoders cut off where OpenCV's own conversion rounds. 2 were measured over a thousand faces; 6 on noise of pure colours
as JPEG."""

_ENLARGED: Final = 4.37  # times: no whole factor, where bilinear scaling would hit the original's pixels
_BORDER: Final = 21  # pixels of other picture around the face
_SKIN: Final = (0.82, 0.95, 1.1)  # blue, green, red: a tint, so that colour order and grey weights matter


class Sighting(NamedTuple):
    """A face in a picture file."""

    file: bytes
    """JPEG, PNG or whatever else is decoded."""
    box: Box
    """Where a detector would see the face."""


def device_tensors(sightings: Sequence[Sighting], manifest: ModelManifest) -> NDArray[np.uint8]:
    """What the agent would hand the model [N, height, width, channels].

    Raises:
        UsageError: a file is no picture, or a box none.
    """
    tensors = np.zeros((len(sightings), *manifest.input.shape[1:]), np.uint8)
    for sighting, tensor in zip(sightings, tensors, strict=True):
        fill(tensor, decoded(sighting.file, manifest), sighting.box, manifest)
    return tensors


def training_images(sightings: Sequence[Sighting], crop: FaceCrop, image: ImageInput) -> NDArray[np.uint8]:
    """What training would read of the same squares, cut out of the files [N, height, width, channels].

    Raises:
        UsageError: a file is no picture, or a box none.
    """
    form = PictureFormat(image.height, image.width, "grey" if image.color == "gray" else "rgb")
    return np.stack([fitted(cut_out(sighting, crop), form) for sighting in sightings])


def cut_out(sighting: Sighting, crop: FaceCrop) -> NDArray[np.uint8]:
    """The square around the face as a picture of its own, grey or BGR, border pixels repeated outside the file's.

    Raises:
        UsageError: the file is no picture, or the box none.
    """
    whole = cv2.imdecode(np.frombuffer(sighting.file, np.uint8), cv2.IMREAD_ANYCOLOR)
    if whole is None:
        raise UsageError(f"{len(sighting.file)} bytes are no picture.")
    left, top, side = face_square(sighting.box, crop)
    border = max(0, -left, -top, left + side - whole.shape[1], top + side - whole.shape[0])
    padded = cv2.copyMakeBorder(whole, border, border, border, border, cv2.BORDER_REPLICATE)
    return np.asarray(padded[top + border :, left + border :][:side, :side], np.uint8)


def photographed(images: NDArray[np.uint8], crop: FaceCrop) -> list[Sighting]:
    """Training's images [N, height, width, 1 or 3] as files: larger, in colour, JPEG and PNG in turn."""
    return [_photograph(image, crop, ".png" if number % 2 else ".jpg") for number, image in enumerate(images)]


def _photograph(image: NDArray[np.uint8], crop: FaceCrop, form: str) -> Sighting:
    colour = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
    large = cv2.resize(cv2.cvtColor(image, colour), None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    tinted = np.clip(large * np.asarray(_SKIN), 0, 255).astype(np.uint8)
    scene = cv2.copyMakeBorder(tinted, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REFLECT)
    _, file = cv2.imencode(form, scene)
    side = large.shape[0] / crop.margin
    center = _BORDER + large.shape[0] / 2
    top = center - crop.shift_y * large.shape[0] - side / 2
    return Sighting(file.tobytes(), Box(center - side / 2, top, side, side))
