"""Golden inputs: synthetic pictures whose exact answers travel with the model.

Smooth ones look like light on a surface and land where faces land; noise drives the network to its edges, where a
wrong kernel shows. Nothing of a data set is in them, so they may travel with every release.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import Golden, ImageInput

SMOOTH: Final = 12
NOISE: Final = 4
_WAVES: Final = 6  # waves a smooth picture is the sum of


def inputs(image: ImageInput, seed: int = 7) -> NDArray[np.uint8]:
    """The golden inputs [16, height, width, channels] for a model of this input."""
    generator = np.random.default_rng(seed)
    shape = (image.height, image.width, image.channels)
    pictures = [_smooth(generator, shape) for _ in range(SMOOTH)]
    pictures += [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(NOISE)]
    return np.stack(pictures)


def pack(pictures: NDArray[np.uint8], answers: NDArray[np.generic]) -> tuple[Golden, ...]:
    """The manifest's goldens from inputs [N, …] and the reference runtime's raw answers [N, labels]."""
    rows: Sequence[list[float]] = answers.astype(np.float64).tolist()
    return tuple(Golden.of(picture.tobytes(), tuple(row)) for picture, row in zip(pictures, rows, strict=True))


def _smooth(generator: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A sum of a few slow waves in random directions, stretched to 0..255."""
    height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = np.zeros(shape)
    for channel in range(channels):
        for frequency_x, frequency_y, phase in generator.uniform([-3, -3, 0], [3, 3, 2 * np.pi], (_WAVES, 3)):
            planes[:, :, channel] += np.cos(2 * np.pi * (frequency_x * x + frequency_y * y) + phase)
    low, high = planes.min(), planes.max()
    return np.rint((planes - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
