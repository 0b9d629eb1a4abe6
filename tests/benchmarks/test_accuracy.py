"""The accuracy table: stored answers are those of this very model and data, and what is published is never measured."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import accuracy
from benchmarks.accuracy_answers import SPLIT, Answers, store_path, stored_or_asked
from benchmarks.accuracy_package import Peer
from benchmarks.accuracy_rows import Cost, RowSpec, cost_of_file, cost_of_tflite, read_rows
from benchmarks.ten_crop import ten_crops
from edge_contract.errors import EdgewiseError, UsageError
from tests.train.pictures_of_shapes import NAMES, shapes
from train.data.dataset import save
from train.network import build
from train.scoring.scores import mcnemar

Pictures = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An untrained network for the shapes, as Keras and as a TFLite file."""
    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("models")
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4], "depths": [1]})
    network = build.build_deployed(config, (16, 16, 1), len(NAMES))
    # Biases of zero, as an untrained network has them, are left out of a TFLite file.
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.1, value.shape).astype(np.float32) for value in network.get_weights()])
    network.save(folder / "model.keras")
    pixels = keras.Input(batch_shape=(1, 16, 16, 1), dtype="uint8")
    converted = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, network(pixels))).convert()
    (folder / "model.tflite").write_bytes(converted)
    return folder / "model.keras", folder / "model.tflite"


def test_ten_crops_are_corners_and_centre_and_their_mirror_images() -> None:
    picture = np.zeros((1, 48, 48, 1), np.uint8)
    picture[0, :2, :2] = 250  # cut off by every crop but those from the top left
    crops = ten_crops(picture)
    assert crops.shape == (10, 1, 48, 48, 1)
    assert [bool(view.any()) for view in crops] == [True] + [False] * 4 + [True] + [False] * 4
    assert crops[0, 0, 0, 0, 0] == 250
    np.testing.assert_array_equal(crops[5:], crops[:5, :, :, ::-1])
    flat = np.full((2, 20, 20, 3), 77, np.uint8)
    assert (ten_crops(flat) == 77).all()


def test_answers_are_asked_once_and_again_for_another_model_other_data_or_a_broken_archive(tmp_path: Path) -> None:
    calls = []

    def ask(images: Pictures) -> NDArray[np.float32]:
        calls.append(len(images))
        return np.full((len(images), 3), images.mean(axis=(1, 2, 3), keepdims=False)[:, None], np.float32)

    data, store = shapes(), tmp_path / "row.npz"
    first = stored_or_asked(ask, "a", data, store, rerun=False)
    assert calls == [11 * len(data.split_indices(SPLIT))]
    again = stored_or_asked(ask, "a", data, store, rerun=False)
    assert len(calls) == 1
    np.testing.assert_array_equal(again.single, first.single)
    np.testing.assert_array_equal(again.ten, first.ten)
    stored_or_asked(ask, "b", data, store, rerun=False)
    stored_or_asked(ask, "b", shapes(seed=1), store, rerun=False)
    stored_or_asked(ask, "b", shapes(seed=1), store, rerun=True)
    store.write_bytes(b"half")
    stored_or_asked(ask, "b", shapes(seed=1), store, rerun=False)
    assert len(calls) == 5


def test_a_quantized_row_is_compared_with_its_own_float_on_the_same_pictures() -> None:
    data = shapes(votes=True)
    labels = data.labels[data.split_indices(SPLIT)]
    right = np.eye(3, dtype=np.float32)[labels]
    worse = right.copy()
    worse[:5] = np.roll(worse[:5], 1, axis=1)
    cost = Cost(1, 1.0, 1)
    row = accuracy.measured_row(RowSpec(name="x"), "PTQ", cost, Answers(worse, right), Answers(right, right), data)
    assert row.accuracy is not None
    assert row.ten_crop is not None
    assert row.accuracy.value == pytest.approx(1 - 5 / len(labels))
    assert row.ten_crop.value == 1.0
    assert row.difference == pytest.approx(-5 / len(labels))
    expected = mcnemar(worse.argmax(1) == labels, np.ones(len(labels), bool)).p_value
    assert row.p_value == pytest.approx(expected)
    assert row.p_value == pytest.approx(2 / 2**5)
    assert set(row.label_sets) == {"dataset, deduplicated", "FER+ majority"}


def test_a_tflite_costs_what_the_network_it_was_made_from_costs(models: tuple[Path, Path]) -> None:
    float_cost, file_cost = cost_of_file(models[0]), cost_of_tflite(models[1].read_bytes())
    assert file_cost.parameters == float_cost.parameters
    assert file_cost.mmac == pytest.approx(float_cost.mmac)
    assert file_cost.size == models[1].stat().st_size


def test_the_command_prints_measured_and_published_apart_and_ends_with_json(
    models: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    rows = tmp_path / "rows.yaml"
    rows.write_text(json.dumps({"rows": [
        {"name": "ours", "files": {"PTQ": str(models[1]), "float": str(models[0])}, "trained": "not at all"},
        {"name": "theirs", "network": "resnet18", "files": {"float": str(tmp_path / "none.keras")},
         "published": {"percent": 73.7, "split": "PrivateTest", "source": "a paper"}},
        {"name": "absent", "package": "fer"},
    ]}))  # fmt: skip
    given = ["--rows", str(rows), "--dataset", str(tmp_path / "dataset.npz"), "--store", str(tmp_path / "store"),
             "--results", str(tmp_path / "results"), "--fer", str(tmp_path / "bin" / "python")]  # fmt: skip
    assert accuracy.main(given) == 0
    printed = capsys.readouterr().out.splitlines()
    document = json.loads(printed[-1])
    assert [(row["name"], row["form"]) for row in document] == [("ours", "float"), ("ours", "PTQ"), ("theirs", "float")]
    assert document[1]["difference"] == pytest.approx(0.0)
    recall = next(line for line in printed if line.startswith("| recall, %"))
    assert [name.strip() for name in recall.strip("|").split("|")][2:] == list(NAMES)
    theirs = next(line for line in printed if line.startswith("| theirs"))
    cells = [cell.strip() for cell in theirs.strip("|").split("|")]
    assert cells[-1] == "73.7"
    assert cells[5] == "not trained here"
    assert document[2]["accuracy"] is None
    assert document[2]["cost"]["parameters"] > 10_000_000
    assert any(line.startswith("without absent:") and "pip install fer" in line for line in printed)
    assert json.loads((tmp_path / "results" / "accuracy.json").read_text()) == document
    assert (tmp_path / "results" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert store_path(tmp_path / "store", "ours", "PTQ").exists()
    assert accuracy.main([*given, "--rerun-row", "our"]) == 2
    assert "no row `our`; name one of ours; theirs; absent" in capsys.readouterr().err


def test_a_row_whose_files_are_gone_keeps_the_figures_of_the_last_run_and_the_words_of_the_rows_file(
    models: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    here = [tmp_path / model.name for model in models]
    for model, copy in zip(models, here, strict=True):
        shutil.copy(model, copy)
    rows = tmp_path / "rows.yaml"
    rows.write_text(json.dumps({"rows": [{"name": "ours", "files": {"float": str(here[0]), "PTQ": str(here[1])}}]}))
    given = ["--rows", str(rows), "--dataset", str(tmp_path / "dataset.npz"), "--store", str(tmp_path / "store"),
             "--results", str(tmp_path / "results")]  # fmt: skip
    assert accuracy.main(given) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    here[0].unlink()
    rows.write_text(rows.read_text().replace('"files"', '"trained": "by a recipe of another name", "files"'))
    assert accuracy.main(given) == 0
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1]) == [{**row, "trained": "by a recipe of another name"} for row in first]
    assert "- ours: by a recipe of another name." in printed
    assert "figures of an earlier run, whose files are not here: ours." in printed


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("rows: 3", "has no list `rows`"),
        ("rows: [{name: a, fils: {}}]", "did you mean `files`?"),
        ("rows: [{name: a}, {name: a}]", "two rows called `a`"),
        ("rows: [", "cannot be read"),
    ],
)
def test_a_rows_file_that_makes_no_sense_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_rows(path)
    assert sentence in str(caught.value)


def test_the_rows_of_the_repository_can_be_read_and_name_networks_that_exist() -> None:
    for spec in read_rows(accuracy.ROWS):
        assert spec.package or build.network_config(spec.network, spec.network_options)


def package(folder: Path, labels: tuple[str, ...]) -> Path:
    """A Python beside a package called `fer` whose network says for each face how bright it is, as class 0."""
    site = folder / "lib" / "python3.11" / "site-packages" / "fer"
    site.mkdir(parents=True)
    (site / "__init__.py").touch()
    (site / "fer.py").write_text(f"""
import numpy as np

class FER:
    def __init__(self, mtcnn, use_tflite):
        assert mtcnn is False and use_tflite is True

    def _classify_emotions(self, faces):
        assert faces.shape[1:] == (64, 64) and faces.dtype == np.float32
        answers = np.zeros((len(faces), {len(labels)}), np.float32)
        answers[:, 0] = faces.mean(axis=(1, 2))
        return answers

    @staticmethod
    def _get_labels():
        return dict(enumerate({labels!r}))
""")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={site.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def test_the_packages_answers_come_in_the_datasets_order_from_pixels_between_minus_one_and_one(tmp_path: Path) -> None:
    peer = Peer(package(tmp_path, ("sad", "angry", "happy")), "quantized", ("angry", "happy", "sad"))
    images = np.stack([np.full((48, 48, 1), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(peer.ask(images), [[0, 0, -1], [0, 0, 1]], atol=1e-6)


def test_a_package_with_other_labels_or_none_at_all_is_refused(tmp_path: Path) -> None:
    images = np.zeros((1, 48, 48, 1), np.uint8)
    with pytest.raises(UsageError, match="answers sad, angry: not what"):
        Peer(package(tmp_path, ("sad", "angry")), "quantized", ("a", "b")).ask(images)
    with pytest.raises(EdgewiseError, match=r"failed \(exit code 1\).*pip install fer"):
        Peer(Path(sys.executable), "quantized", ("a", "b")).ask(images)
