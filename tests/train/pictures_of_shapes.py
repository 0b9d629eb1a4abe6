"""A small dataset that a network learns in seconds: stripes across, stripes upright, or none."""

import numpy as np

from train.data.dataset import SPLITS, Dataset

NAMES = ("plain", "across", "upright")


def shapes(n: int = 240, side: int = 16, *, votes: bool = False, seed: int = 0) -> Dataset:
    """Grey [n,side,side,1]; splits in the proportion 6 train, 1 selection, 1 test."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % len(NAMES)).astype(np.uint8)
    images = rng.integers(0, 90, (n, side, side, 1), dtype=np.uint8)
    bright = np.arange(side) // 2 % 2 == 0
    for image, label in zip(images, labels, strict=True):
        if label == 1:
            image[bright] += 120
        elif label == 2:
            image[:, bright] += 120
    split = np.zeros(n, np.uint8)
    split[np.arange(n) // len(NAMES) % 8 == 6] = SPLITS.index("selection")
    split[np.arange(n) // len(NAMES) % 8 == 7] = SPLITS.index("test")
    counts = np.zeros((n, 4 if votes else 0), np.uint8)
    if votes:
        counts[np.arange(n), labels] = 8
        counts[:, 3] = 2
    return Dataset(images, labels, split, NAMES, counts, (*NAMES, "unknown") if votes else (), "shapes")
