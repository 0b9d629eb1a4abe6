"""Corruptions change what they say and nothing else, alike in every run."""

import numpy as np
import pytest

from train.scoring.corruptions import CORRUPTIONS, corrupted


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_corruption_keeps_the_shape_grows_with_its_strength_and_repeats(name: str, channels: int) -> None:
    smooth = np.linspace(40, 200, 24, dtype=np.uint8)
    pictures = np.broadcast_to(smooth[None, :, None, None], (3, 24, 24, channels)).copy()
    pictures[:, 8:14, 8:14] = 230
    change = []
    for strength in CORRUPTIONS[name][1]:
        spoiled = corrupted(pictures, name, strength, seed=3)
        assert spoiled.shape == pictures.shape
        assert spoiled.dtype == np.uint8
        np.testing.assert_array_equal(spoiled, corrupted(pictures, name, strength, seed=3))
        change.append(np.abs(spoiled.astype(int) - pictures).mean())
    assert 0 < change[0] < change[1] < change[2]


def test_low_light_keeps_its_share_of_the_light() -> None:
    bright = np.full((1, 40, 40, 1), 200, np.uint8)
    assert corrupted(bright, "low_light", 0.25, seed=0).mean() == pytest.approx(50, rel=0.03)
