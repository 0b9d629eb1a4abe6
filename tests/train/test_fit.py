"""Training end to end on a dataset that is learned in seconds."""

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
from tests.conftest import REPOSITORY
from tests.mlflow_store import new_store
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.data import dataset
from train.fit import Fitted, fit
from train.loop.errors import DivergedError
from train.loop.settings import Objective, TrainParams

pytestmark = pytest.mark.xdist_group("training")  # one worker trains what several tests read


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


@pytest.mark.slow
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


def test_a_finished_training_is_not_trained_again(trained: tuple[Path, TrainParams, Fitted]) -> None:
    _, params, whole = trained
    again = fit(params, shapes(votes=True))
    for expected, found in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_checkpoint_of_another_training_is_refused(trained: tuple[Path, TrainParams, Fitted]) -> None:
    _, params, _ = trained
    with pytest.raises(UsageError, match="made with another network, dataset or training params"):
        fit(msgspec.structs.replace(params, learning_rate=0.2), shapes(votes=True))


def test_a_loss_that_is_no_number_stops_with_epoch_and_learning_rate(tmp_path: Path) -> None:
    params = settings(tmp_path, learning_rate=1e30, schedule="constant", epochs=2)
    with pytest.raises(DivergedError, match=r"the loss is \S+ in epoch \d at learning rate 1e\+30"):
        fit(params, shapes())
    assert not (tmp_path / "run" / "model.keras").exists()


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
            "dataset": str(data), "output": str(tmp_path / folder), "tracking_uri": new_store(tmp_path),
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
        "output": str(tmp_path / "run"), "tracking_uri": new_store(tmp_path),
    }}))  # fmt: skip
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run(
        [sys.executable, "-m", "train.fit", "--params", str(params)], cwd=REPOSITORY, check=True, env=environment
    )
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    rows = data.split_indices("test")
    answers = model.predict(data.images[rows], verbose=0).argmax(axis=1)
    assert (answers == data.labels[rows]).mean() > 0.9
