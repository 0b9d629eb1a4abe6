"""Golden inputs: synthetic pictures whose exact answers travel with the model.

Smooth ones look like light on a surface; noise drives the network to its edges, where a wrong kernel shows. Nothing of
a data set is in them, so they may travel with every release.

They are chosen among many for being well conditioned. Delegates round inside the network otherwise than the reference
kernels, and where the model is undecided one step of a logit is several steps of a probability: over a set of faces
an int8 network of twelve layers answers up to 7 steps of 256 apart, none the better. On a golden the answer must be
stable, so that a difference on a board is due to the board.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import Golden, ImageInput
from edge_vision.goldens import WITH_DELEGATES

SMOOTH: Final = 12
NOISE: Final = 4
CANDIDATES: Final = 20
"""Pictures drawn for each golden that is chosen."""
_SHORT: Final = (4, 12)
"""Candidates a golden that the exact kernels are asked about: smooth, noise. Noise leaves a network undecided, so that
fewer of its answers are stable."""
_WAVES: Final = 6  # waves a smooth picture is the sum of


_FINEST: Final = 12_000
"""Values (pixels times channels) up to which a golden is drawn pixel by pixel. Larger ones are drawn in blocks, which
pack to about as many bytes: all goldens together must fit a manifest, whatever the input's size."""


def candidates(image: ImageInput, seed: int = 7) -> NDArray[np.uint8]:
    """Pictures to choose from [(SMOOTH + NOISE) * CANDIDATES, height, width, channels], the smooth ones first."""
    generator = np.random.default_rng(seed)
    block = math.ceil(math.sqrt(image.height * image.width * image.channels / _FINEST))
    shape = (math.ceil(image.height / block), math.ceil(image.width / block), image.channels)
    pictures = [_smooth(generator, shape) for _ in range(SMOOTH * CANDIDATES)]
    pictures += [generator.integers(0, 256, shape, dtype=np.uint8) for _ in range(NOISE * CANDIDATES)]
    drawn = np.stack(pictures)
    return drawn.repeat(block, axis=1).repeat(block, axis=2)[:, : image.height, : image.width]


def shortlist(delegated: NDArray[np.generic]) -> NDArray[np.int64]:
    """Candidates worth asking the slow exact kernels about, by their raw answers [N, labels] with delegates."""
    kind = _kinds(len(delegated))
    sensitivity, turn = _conditioning(delegated, kind)
    order = np.lexsort((sensitivity, turn))
    counts = [each * count for each, count in zip(_SHORT, (SMOOTH, NOISE), strict=True)]
    kept = [order[kind[order] == number][:count] for number, count in enumerate(counts)]
    return np.sort(np.concatenate(kept)).astype(np.int64)


def choose(
    listed: NDArray[np.int64], exact: NDArray[np.generic], delegated: NDArray[np.generic], alike: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Positions in `listed` that become goldens, from its raw answers without and with delegates.

    `alike` [listed]: the other runtimes answer exactly so too; the rest is chosen only when there is nothing else.
    Then those that delegates answer within their tolerance, and of these the best conditioned of each label in turn.
    """
    kind = _kinds((SMOOTH + NOISE) * CANDIDATES)[listed]
    sensitivity, turn = _conditioning(exact, kind)
    off = np.abs(exact.astype(np.float64) - delegated.astype(np.float64)).max(axis=1)
    order = np.lexsort((sensitivity, turn, np.where(alike, np.maximum(off, WITH_DELEGATES), np.inf)))
    kept = [order[kind[order] == number][:count] for number, count in enumerate((SMOOTH, NOISE))]
    return np.concatenate([np.sort(positions) for positions in kept]).astype(np.int64)


def pack(pictures: NDArray[np.uint8], answers: NDArray[np.generic]) -> tuple[Golden, ...]:
    """The manifest's goldens from inputs [N, …] and the reference runtime's raw answers [N, labels]."""
    rows: list[list[float]] = answers.astype(np.float64).tolist()
    return tuple(Golden.of(picture.tobytes(), tuple(row)) for picture, row in zip(pictures, rows, strict=True))


def _kinds(count: int) -> NDArray[np.int64]:
    """0 for the smooth candidates, which come first, 1 for noise."""
    return (np.arange(count) >= SMOOTH * CANDIDATES).astype(np.int64)


def _conditioning(
    answers: NDArray[np.generic], kind: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far a rounding step inside the network moves each answer, and its rank by that within its kind and label."""
    real = answers.astype(np.float64)
    shares = real / np.maximum(real.sum(axis=1, keepdims=True), 1e-9)
    sensitivity = (shares * (1 - shares)).max(axis=1)  # d p / d logit is p (1 - p)
    turn = np.zeros(len(real), np.int64)
    seen: dict[tuple[int, int], int] = {}
    for position in np.argsort(sensitivity, kind="stable"):
        key = int(kind[position]), int(real[position].argmax())
        turn[position] = seen.get(key, 0)
        seen[key] = int(turn[position]) + 1
    return sensitivity, turn


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
