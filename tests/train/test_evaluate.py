"""Scores of a finished model: of which labels, and of how many pictures."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from train.data.dataset import save
from train.evaluate import evaluate, label_sets, main
from train.network import build


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with the shapes' size: its answers are poor, and all the same to count."""
    keras.utils.set_random_seed(1)
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4], "depths": [1]})
    path = tmp_path_factory.mktemp("model") / "model.keras"
    build.build_deployed(config, (16, 16, 1), 3).save(path)
    return path


def test_every_split_and_label_set_is_scored_with_its_own_n(model: Path, tmp_path: Path) -> None:
    data = shapes(votes=True)
    test = data.split_indices("test")
    images, votes = data.images.copy(), data.votes.copy()
    images[test[1]] = images[test[0]]  # one repeated picture
    votes[test[2]] = 0  # one row without a majority
    report = evaluate(model, dataclasses.replace(data, images=images, votes=votes), tmp_path)
    sets = report["splits"]["test"]
    n = len(test)
    assert {name: row["n"] for name, row in sets.items()} == {
        "dataset": n, "dataset, deduplicated": n - 1, "FER+ majority": n - 1,
    }  # fmt: skip
    assert json.loads((tmp_path / "scores.json").read_text()) == report
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as stored:
        right = (stored["test_probabilities"].argmax(axis=1) == stored["test_labels"]).mean()
    assert right == pytest.approx(sets["dataset"]["accuracy"])
    assert (tmp_path / "reliability_test.png").exists()


def test_label_sets_without_votes_are_the_datasets_own() -> None:
    data = shapes()
    assert list(label_sets(data, data.split_indices("test"))) == ["dataset", "dataset, deduplicated"]


def test_a_dataset_without_a_test_split_is_refused(model: Path, tmp_path: Path) -> None:
    data = shapes()
    with pytest.raises(UsageError, match="no test split"):
        evaluate(model, dataclasses.replace(data, split=np.zeros_like(data.split)), tmp_path)


def test_the_command_names_label_set_n_and_interval(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"evaluate": {
        "model": str(model), "dataset": str(tmp_path / "dataset.npz"), "output": str(tmp_path / "out"),
    }}))  # fmt: skip
    assert main(["--params", str(params)]) == 0
    assert "model.keras on test (dataset labels): accuracy" in capsys.readouterr().out
