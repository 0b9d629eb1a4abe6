"""Faces in pictures that are cropped tightly around one, as training data is: a detector needs room around a face.

So such a picture is laid into a larger one first, enlarged, its border replicated.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import FEW_FACES
from edge_vision.faces import FaceDetector
from edge_vision.picture import Box, Pixels

WORKING_SIDE: Final = 288
"""Pixels of the bordered picture: just under what detectors search without shrinking it."""
_BORDER: Final = 0.5  # of the picture's side, on each side
_LOOKED_AT: Final = 50


class FaceSample(NamedTuple):
    """In how many of some pictures a detector found a face."""

    pictures: int
    found: int

    @property
    def few(self) -> bool:
        """Whether these are hardly pictures of faces."""
        return self.pictures > 0 and self.found < FEW_FACES * self.pictures

    @property
    def advice(self) -> str:
        """What to say of them where a device is to search for faces; empty when they are faces."""
        if not self.few:
            return ""
        return (
            f"A face was found in {self.found} of {self.pictures} training pictures, and with `package.around: face` a "
            "device judges faces only; set package.around to `frame` in the params file if they show something else."
        )


def bordered(picture: Pixels, border: float) -> tuple[Pixels, Box]:
    """The picture [H,W,C] enlarged inside a replicated border, and the square in which it lies there.

    `border` is a share of the picture's longer side. Grey pictures give [H,W], RGB ones [H,W,3] in BGR, as detectors
    take them.
    """
    enlarged = WORKING_SIDE / (max(picture.shape[:2]) * (1 + 2 * border))
    width, height = (round(side * enlarged) for side in (picture.shape[1], picture.shape[0]))
    shown = picture[..., 0] if picture.shape[2] == 1 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    large = cv2.resize(shown, (width, height), interpolation=cv2.INTER_CUBIC)
    around = round(border * max(width, height))
    whole = cv2.copyMakeBorder(large, around, around, around, around, cv2.BORDER_REPLICATE)
    return np.asarray(whole, np.uint8), Box(around, around, width, height)


def sample(images: NDArray[np.uint8], detector: FaceDetector, seed: int) -> FaceSample:
    """Look for faces in up to fifty pictures, drawn at random from uint8 [N,H,W,C] grey or RGB."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:_LOOKED_AT]
    return FaceSample(len(chosen), sum(bool(detector.detect(bordered(images[row], _BORDER)[0])) for row in chosen))
