"""What a camera does to a face crop, at the three strengths of the robustness report.

Pure functions on uint8 pictures [H,W,C], deterministic for a generator. They are written with OpenCV and NumPy, apart
from the training's augmentation, so that a report does not test a network with the very code that trained it.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Corruption = Callable[[Picture, float, np.random.Generator], Picture]


def shift(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """Move by `share` of the side in a random direction; a detector's box is off by about 0.05."""
    angle = rng.uniform(0, 2 * np.pi)
    height, width = picture.shape[:2]
    return _warp(picture, np.array([[1, 0, share * width * np.cos(angle)], [0, 1, share * height * np.sin(angle)]]))


def scale(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """Zoom in or out by `share`; a detector's box is too small or too large."""
    factor = 1 + share if rng.random() < 0.5 else 1 / (1 + share)
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, factor)
    return _warp(picture, np.asarray(matrix, np.float64))


def blur(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:  # noqa: ARG001 - one signature
    """Gaussian blur of `sigma` pixels at the network's resolution: a face far away or out of focus."""
    return _shaped(cv2.GaussianBlur(picture, (0, 0), sigma), picture)


def low_light(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """Keep `share` of the light; shot noise grows as the light goes (1,000 electrons at full white)."""
    electrons = rng.poisson(picture / 255.0 * share * 1000)
    return np.clip(np.rint(electrons / 1000 * 255), 0, 255).astype(np.uint8)


def jpeg(picture: Picture, quality: float, rng: np.random.Generator) -> Picture:  # noqa: ARG001 - one signature
    """Encode and decode as JPEG of that quality; an MJPEG camera has 40 to 80."""
    kept, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not kept:
        raise ValueError(f"OpenCV cannot encode a picture of shape {picture.shape} as JPEG.")
    flags = cv2.IMREAD_GRAYSCALE if picture.shape[2] == 1 else cv2.IMREAD_COLOR
    return _shaped(cv2.imdecode(encoded, flags), picture)


def noise(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """Gaussian noise of `sigma` grey levels: a small sensor indoors has 5 to 15."""
    return np.clip(np.rint(picture + rng.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)


# Name: the corruption and its three strengths, mild to severe.
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float, float]]] = {
    "shift": (shift, (0.05, 0.10, 0.15)),
    "scale": (scale, (0.10, 0.20, 0.35)),
    "blur": (blur, (0.7, 1.2, 2.0)),
    "low_light": (low_light, (0.5, 0.25, 0.1)),
    "jpeg": (jpeg, (60, 30, 12)),
    "noise": (noise, (5, 12, 25)),
}


def corrupted(pictures: NDArray[np.uint8], name: str, strength: float, seed: int) -> NDArray[np.uint8]:
    """Every picture [N,H,W,C] changed by the corruption called `name`."""
    corruption = CORRUPTIONS[name][0]
    return np.stack([
        corruption(picture, strength, np.random.default_rng([seed, index])) for index, picture in enumerate(pictures)
    ])  # fmt: skip


def _warp(picture: Picture, matrix: NDArray[np.float64]) -> Picture:
    height, width = picture.shape[:2]
    return _shaped(
        cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        picture,
    )


def _shaped(changed: object, like: Picture) -> Picture:
    return np.asarray(changed, np.uint8).reshape(like.shape)
