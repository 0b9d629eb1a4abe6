"""Which training images set the int8 ranges: a stratified sample, so that a rare class's faces count too."""

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError


def stratified(labels: NDArray[np.integer], count: int, seed: int) -> NDArray[np.int64]:
    """Positions of `count` rows (or all, when there are fewer), each class in its share and at least once.

    Raises:
        UsageError: nothing to choose from, or `count` is smaller than the number of classes.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count <= 0 or len(classes) == 0:
        raise UsageError(
            f"a calibration set of {count} out of {len(labels)} images is empty",
            remedy="raise quantize.calibration_images in params.yaml or prepare the data again",
        )
    if count < len(classes):
        raise UsageError(
            f"{count} calibration images cannot show {len(classes)} classes", remedy="take at least one of each"
        )
    count = min(count, len(labels))
    generator = np.random.default_rng(seed)
    chosen = [
        generator.choice(np.flatnonzero(labels == label), share, replace=False)
        for label, share in zip(classes, _shares(sizes, count), strict=True)
    ]
    return generator.permutation(np.concatenate(chosen)).astype(np.int64)


def _shares(sizes: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """How many of each class: the largest-remainder method, with one for each class first."""
    exact = sizes * count / sizes.sum()
    shares = np.maximum(1, np.floor(exact)).astype(np.int64)
    order = np.argsort(exact - shares)[::-1]
    while (missing := count - int(shares.sum())) != 0:
        step = 1 if missing > 0 else -1
        # Give to those most below their share, take from those most above it, never below one nor beyond the class.
        for position in order if step > 0 else order[::-1]:
            if 1 <= shares[position] + step <= sizes[position]:
                shares[position] += step
                break
    return shares
