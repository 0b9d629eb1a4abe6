"""Training end to end on a dataset that is learned in seconds."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest
from mlflow import MlflowClient

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import NAMES, shapes
from train.data import dataset
from train.fit import Fitted, fit
from train.loop import checkpoint
from train.loop.errors import DivergedError
from train.loop.settings import Augment, Objective, TrainParams
from train.loop.setup import refuse_unfit_labels, set_up

REPOSITORY = Path(__file__).resolve().parents[2]
MILD = Augment(scale=0.1, shift=0.05, rotation=5, flip=0, erase=0.2, contrast=0.1, brightness=0.05, blur=0.2, noise=2)


def settings(folder: Path, **changes: object) -> TrainParams:
    values: dict[str, object] = {
        "network": "edge_cnn",
        "network_options": {"stem": 4, "widths": [8, 8], "depths": [1, 1]},
        "epochs": 3,
        "batch_size": 30,
        "learning_rate": 0.1,
        "average_decay": 0.3,
        "step_average_decay": 0.5,
        "augment": MILD,
        "output": str(folder / "run"),
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
    }
    return TrainParams(**{**values, **changes})  # type: ignore[arg-type]


def weights(fitted: Fitted) -> list[np.ndarray]:
    return [np.array(value) for value in fitted.model.get_weights()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainParams, Fitted]:
    folder = tmp_path_factory.mktemp("trained")
    params = settings(folder, objective=Objective(votes_weight=0.5))
    return folder, params, fit(params, shapes(votes=True))


def test_a_training_learns_and_writes_its_files(trained: tuple[Path, TrainParams, Fitted]) -> None:
    folder, _, fitted = trained
    assert fitted.selection.accuracy.value > 0.9
    history = json.loads((folder / "run" / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    for name in ("learning_curve.png", "confusion_selection.png", "reliability_selection.png"):
        assert (folder / "run" / name).read_bytes().startswith(b"\x89PNG")


def test_the_written_network_answers_as_the_one_in_memory(trained: tuple[Path, TrainParams, Fitted]) -> None:
    folder, _, fitted = trained
    images = shapes().images[:8]
    written = keras.models.load_model(folder / "run" / "model.keras")
    np.testing.assert_array_equal(written.predict(images, verbose=0), fitted.model.predict(images, verbose=0))


def test_the_run_stands_in_mlflow_with_curve_pictures_and_machine(trained: tuple[Path, TrainParams, Fitted]) -> None:
    folder, params, _ = trained
    client = MlflowClient(params.tracking_uri)
    run = client.get_run(json.loads((folder / "run" / "run.json").read_text())["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["augment.erase"] == "0.2"
    assert run.data.tags["backend"] == "tensorflow"
    assert run.data.tags["cpu"]
    assert len(client.get_metric_history(run.info.run_id, "selection_accuracy")) == 3
    assert {item.path for item in client.list_artifacts(run.info.run_id, "pictures")} == {
        "pictures/learning_curve.png", "pictures/confusion_selection.png", "pictures/reliability_selection.png",
    }  # fmt: skip


def test_a_resumed_training_ends_with_the_same_weights_as_an_uninterrupted_one(
    trained: tuple[Path, TrainParams, Fitted], tmp_path: Path
) -> None:
    _, params, whole = trained
    data = shapes(votes=True)
    resumed = settings(tmp_path, objective=params.objective)
    half = fit(resumed, data, minutes=1e-6)
    assert [row["epoch"] for row in half.history] == [1]
    rest = fit(resumed, data)
    assert [row["epoch"] for row in rest.history] == [1, 2, 3]
    for expected, found in zip(weights(whole), weights(rest), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_average_over_steps_is_what_is_scored_and_training_goes_on_from_the_live_weights(tmp_path: Path) -> None:
    params = settings(tmp_path, step_average_decay=0.7, average_decay=0.0)
    training = set_up(params, shapes())
    live = training.learner.trainable_variables
    expected: list[np.ndarray] = []
    for step in range(4):
        training.learner.train_on_batch(*training.batches[step])
        now = [np.array(keras.ops.convert_to_numpy(variable)) for variable in live]
        expected = [0.7 * old + 0.3 * new for old, new in zip(expected, now, strict=True)] if expected else now
    training.state.average()
    for variable, value in zip(live, now, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    training.state.use_averaged()
    for variable, value in zip(live, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), value, rtol=1e-5, atol=1e-6)


def test_a_finished_training_is_not_trained_again(trained: tuple[Path, TrainParams, Fitted]) -> None:
    _, params, whole = trained
    again = fit(params, shapes(votes=True))
    for expected, found in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_checkpoint_of_another_training_is_refused(trained: tuple[Path, TrainParams, Fitted]) -> None:
    _, params, _ = trained
    with pytest.raises(UsageError, match="made with another network, dataset or training params"):
        fit(msgspec.structs.replace(params, learning_rate=0.2), shapes(votes=True))


def test_a_checkpoint_of_another_training_can_be_set_aside_and_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert checkpoint.set_aside(path, "ours") is None
    theirs = checkpoint.Checkpoint(2, "theirs", [], [np.ones(3, np.float32)], [])
    checkpoint.save(path, theirs)
    assert checkpoint.set_aside(path, "theirs") is None
    kept = checkpoint.set_aside(path, "ours")
    assert kept is not None
    assert not path.exists()
    found = checkpoint.load(kept, "theirs")
    assert found is not None
    np.testing.assert_array_equal(found.variables[0], theirs.variables[0])


def test_a_loss_that_is_no_number_stops_with_epoch_and_learning_rate(tmp_path: Path) -> None:
    params = settings(tmp_path, learning_rate=1e30, schedule="constant", epochs=2)
    with pytest.raises(DivergedError, match=r"the loss is \S+ in epoch \d at learning rate 1e\+30"):
        fit(params, shapes())
    assert not (tmp_path / "run" / "model.keras").exists()


def test_labels_that_do_not_fit_the_head_are_refused_before_training() -> None:
    data = shapes()
    labels = data.labels.copy()
    labels[5] = 9
    with pytest.raises(UsageError, match="has label 9, but names only 3 classes"):
        refuse_unfit_labels(dataclasses.replace(data, labels=labels))
    with pytest.raises(UsageError, match=f"class `{NAMES[2]}` has no picture in split train"):
        refuse_unfit_labels(dataclasses.replace(data, labels=np.minimum(data.labels, 1)))


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (Objective(votes_weight=0.5), "votes_weight needs FER"),
        (Objective(teacher_weight=0.5), "teacher_weight needs a teacher's answers"),
        (Objective(features_weight=0.5), "features_weight needs a teacher's answers"),
    ],
)
def test_an_objective_without_its_data_is_refused(tmp_path: Path, objective: Objective, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        fit(settings(tmp_path, objective=objective), shapes())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"not an archive"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as a checkpoint"):
        checkpoint.load(path, "x")


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds; several starts of TensorFlow on a busy machine
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path: Path, how: signal.Signals) -> None:
    data = tmp_path / "dataset.npz"
    dataset.save(shapes(1200), data)

    def command(folder: str) -> list[str]:
        params = tmp_path / f"{folder}.yaml"
        params.write_text(json.dumps({"train": {
            "network_options": {"stem": 4, "widths": [8, 8], "depths": [1, 1]}, "epochs": 8, "batch_size": 10,
            "dataset": str(data), "output": str(tmp_path / folder), "tracking_uri": f"sqlite:///{tmp_path}/m.db",
        }}))  # fmt: skip
        return [sys.executable, "-m", "train.fit", "--params", str(params)]

    subprocess.run(command("whole"), cwd=REPOSITORY, check=True)
    process = subprocess.Popen(command("killed"), cwd=REPOSITORY)
    while not (tmp_path / "killed" / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, how)
    assert process.wait() != 0
    assert not (tmp_path / "killed" / "model.keras").exists()
    subprocess.run(command("killed"), cwd=REPOSITORY, check=True)
    with (
        np.load(tmp_path / "whole" / "checkpoint.npz") as whole,
        np.load(tmp_path / "killed" / "checkpoint.npz") as again,
    ):
        for name in whole.files:
            if name != "head":
                np.testing.assert_array_equal(again[name], whole[name])


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds; several starts of TensorFlow on a busy machine
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_backend_trains_and_tensorflow_reads_what_it_wrote(tmp_path: Path, backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    data = shapes()
    dataset.save(data, tmp_path / "dataset.npz")
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"train": {
        "network_options": {"stem": 8, "widths": [8, 16], "depths": [1, 1]}, "epochs": 8, "batch_size": 30,
        "learning_rate": 0.1, "augment": {"flip": 0}, "dataset": str(tmp_path / "dataset.npz"),
        "output": str(tmp_path / "run"), "tracking_uri": f"sqlite:///{tmp_path}/m.db",
    }}))  # fmt: skip
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run(
        [sys.executable, "-m", "train.fit", "--params", str(params)], cwd=REPOSITORY, check=True, env=environment
    )
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    rows = data.split_indices("test")
    answers = model.predict(data.images[rows], verbose=0).argmax(axis=1)
    assert (answers == data.labels[rows]).mean() > 0.9
