"""Drawn faces."""

import numpy as np

from train.data import synthetic
from train.data.rows import PictureFormat

GREY = PictureFormat()


def test_synthetic_faces_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    first, again, other = (synthetic.read("synthetic:140", GREY, seed) for seed in (1, 1, 2))
    assert (first.images == again.images).all()
    assert first.digest == again.digest != other.digest
    assert (first.images != other.images).any()
    assert np.bincount(first.labels).tolist() == [20] * 7
