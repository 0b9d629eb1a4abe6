"""Corruptions change what they say and nothing else, alike in every run."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.train.pictures_of_shapes import shapes
from train.network import build
from train.robustness import as_markdown, robustness
from train.scoring.corruptions import CORRUPTIONS, corrupted

PICTURES = np.random.default_rng(0).integers(40, 200, (4, 24, 24, 1), dtype=np.uint8)


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


def test_every_model_sees_every_condition_and_the_table_names_them(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4], "depths": [1]})
    model = tmp_path / "model.keras"
    build.build_deployed(config, (16, 16, 1), 3).save(model)
    table = robustness([model], shapes(48))
    assert len(table) == 1 + 3 * len(CORRUPTIONS)
    assert all(0 <= row["accuracy"][str(model)]["low"] <= 1 for row in table)
    assert "| low light | 0.25 |" in as_markdown(table)
