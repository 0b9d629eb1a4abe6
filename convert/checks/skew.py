"""A picture in a file must reach the model as the picture it was trained on: the agent's own path, end to end.

Each test image is put into a larger picture with a face box that the manifest's crop maps back onto it, saved as PNG,
and read, cropped and turned into a tensor by the code that runs on the device. Then tensor and answer are held against
what training saw, bit for bit. Wrong colour order, wrong size and scaling outside the graph show here; `picture_files`
does the same from files as people have them.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import FaceCrop, ModelManifest
from edge_vision.picture import Box
from edge_vision.recognition import decoded, fill

_ENLARGED: Final = 3  # times: area resizing by a whole factor gives the original back exactly
_BORDER: Final = 16  # pixels of other picture around the face


@dataclass(frozen=True, slots=True)
class Skew:
    """How the device's path differs from training's on the same images."""

    n: int
    largest_pixel: int
    """Largest difference of a tensor's pixel, 0..255."""
    agreement: float
    """Share of images on which the model names the same label for training's image and the device's tensor."""
    mean_difference: float
    """Mean difference of a probability."""


def device_tensors(images: NDArray[np.uint8], manifest: ModelManifest) -> NDArray[np.uint8]:
    """What the agent would hand the model for these training images [N, height, width, channels].

    Raises:
        UsageError: the manifest's input cannot take such pictures.
    """
    tensors = np.zeros((len(images), *manifest.input.shape[1:]), np.uint8)
    for image, tensor in zip(images, tensors, strict=True):
        for_device, box = _scene(image, manifest.crop)
        _, png = cv2.imencode(".png", for_device)
        fill(tensor, decoded(png.tobytes(), manifest), box, manifest)
    return tensors


def measure(
    images: NDArray[np.uint8],
    tensors: NDArray[np.uint8],
    direct: NDArray[np.floating],
    through: NDArray[np.floating],
) -> Skew:
    """Compare training's images with the device's tensors, and the model's probabilities for either."""
    largest = 255
    if images.shape == tensors.shape:
        largest = int(np.abs(images.astype(np.int16) - tensors).max())
    return Skew(
        n=len(images),
        largest_pixel=largest,
        agreement=float((direct.argmax(axis=1) == through.argmax(axis=1)).mean()),
        mean_difference=float(np.abs(direct.astype(np.float64) - through).mean()),
    )


def _scene(image: NDArray[np.uint8], crop: FaceCrop) -> tuple[NDArray[np.uint8], Box]:
    """A picture (grey or BGR) that holds the enlarged image, and the face box whose crop is exactly the image."""
    height, width = image.shape[:2]
    pixels = image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    large = cv2.resize(pixels, (width * _ENLARGED, height * _ENLARGED), interpolation=cv2.INTER_NEAREST)
    scene = cv2.copyMakeBorder(large, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REFLECT)
    side = large.shape[0]
    # The inverse of the crop: square side = margin x box side, centred shift_y squares below the box's centre.
    box_side = side / crop.margin
    center = _BORDER + side / 2
    top = center - crop.shift_y * side - box_side / 2
    return np.asarray(scene, np.uint8), Box(center - box_side / 2, top, box_side, box_side)
