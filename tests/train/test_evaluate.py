"""Scores of a finished model: which labels, how many pictures, and a model that does not fit is refused."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from train.data.dataset import save
from train.evaluate import evaluate, label_sets, main
from train.network import build
from train.scoring.predict import probabilities_of


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


def test_a_tflite_answers_as_the_keras_it_was_made_from(model: Path, tmp_path: Path) -> None:

    network = keras.models.load_model(model)
    pixels = keras.Input(batch_shape=(1, 16, 16, 1), dtype="uint8")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, network(pixels)))
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    images = shapes().images[:6]
    np.testing.assert_allclose(probabilities_of(path, images, 3), probabilities_of(model, images, 3), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.keras", None, "does not exist"),
        ("model.h5", b"x", "ends in `.h5`"),
        ("model.keras", b"x", "is not a Keras model"),
        ("model.tflite", b"x" * 64, "is not a model that LiteRT can load"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{name}.*{sentence}"):
        probabilities_of(path, shapes().images, 3)


def test_a_model_for_other_pictures_or_classes_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match=r"takes pictures of \[16, 16, 1\], the dataset holds \[8, 8, 1\]"):
        probabilities_of(model, shapes(side=8).images, 3)
    with pytest.raises(UsageError, match="answers 3 classes, the dataset has 7"):
        probabilities_of(model, shapes().images, 7)


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
