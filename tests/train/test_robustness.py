"""Corruptions change what they say and nothing else, alike in every run."""

from pathlib import Path

import keras
import numpy as np

from tests.train.pictures_of_shapes import shapes
from train.network import build
from train.robustness import as_markdown, robustness
from train.scoring.corruptions import CORRUPTIONS

PICTURES = np.random.default_rng(0).integers(40, 200, (4, 24, 24, 1), dtype=np.uint8)


def test_every_model_sees_every_condition_and_the_table_names_them(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4], "depths": [1]})
    model = tmp_path / "model.keras"
    build.build_deployed(config, (16, 16, 1), 3).save(model)
    table = robustness([model], shapes(48))
    assert len(table) == 1 + 3 * len(CORRUPTIONS)
    assert all(0 <= row["accuracy"][str(model)]["low"] <= 1 for row in table)
    assert "| low light | 0.25 |" in as_markdown(table)
