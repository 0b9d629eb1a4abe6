"""How good a picture is to look at: bright, rich in contrast, sharp. Three numbers, for finding out what went wrong."""

from typing import Final, NamedTuple

import cv2
import numpy as np

from edge_vision.picture import Pixels

_WHITE: Final = 255.0
_FLAT: Final = 0.01
"""Contrast below which there is no detail to judge: of a covered lens only the sensor's noise is left."""
_SMOOTHING: Final = (3, 3)
"""Pixels. Noise does not fall with the light: without smoothing, a portrait at a tenth of its light and with a webcam's
noise (3 grey levels) measures four times as sharp, with it 1.7 times."""


class Quality(NamedTuple):
    """Of one picture."""

    brightness: float
    """Mean, 0 black to 1 white."""
    contrast: float
    """Standard deviation of brightness, 0 to 0.5."""
    sharpness: float | None
    """Mean absolute Laplacian of the smoothed picture over its contrast: falls with blur, not with darkness. Compares
    pictures of one size. None of a picture without contrast."""


def quality_of(gray: Pixels) -> Quality:
    """Measure uint8 [height, width]: 0.2 ms for the 320x240 that faces are searched in."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(gray))
    contrast = deviation / _WHITE
    if contrast < _FLAT:
        return Quality(mean / _WHITE, contrast, None)
    smooth = cv2.GaussianBlur(gray.astype(np.float32), _SMOOTHING, 0)
    detail = cv2.norm(cv2.Laplacian(smooth, cv2.CV_32F), cv2.NORM_L1) / gray.size
    return Quality(mean / _WHITE, contrast, detail / deviation)


def quality_of_tensor(tensor: Pixels) -> Quality:
    """Measure what a model was shown: uint8 [1, height, width, 1] grey or [1, height, width, 3] RGB."""
    shown = tensor[0]
    gray = shown[..., 0] if shown.shape[2] == 1 else cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    return quality_of(np.asarray(gray, np.uint8))
