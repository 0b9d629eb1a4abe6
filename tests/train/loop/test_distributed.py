"""Processes that train together end where one alone would, and never outlive their leader."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.conftest import REPOSITORY
from tests.mlflow_store import new_store
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import MILD, settings
from train.data import dataset
from train.fit import fit
from train.loop.batches import Batches
from train.loop.distributed import Team

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def test_shares_of_a_batch_are_the_batch_that_one_process_would_have() -> None:
    data = shapes()
    labels = {"labels": np.eye(3, dtype=np.float32)[data.labels]}

    def batch(team: Team) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        batches = Batches(data.images[None], labels, batch_size=30, strength=MILD, seed=4, epoch=2, team=team)
        assert len(batches) == len(data.images) // 30
        return batches[1]

    inputs, targets = batch(Team())
    for name, whole in {**inputs, **targets}.items():
        parts = [{**found, **wanted}[name] for found, wanted in (batch(Team(rank, 3)) for rank in range(3))]
        for rank, part in enumerate(parts):
            np.testing.assert_array_equal(part, whole[rank::3])


def test_a_backend_that_cannot_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    assert keras.backend.backend() == "tensorflow"
    with pytest.raises(UsageError, match="needs KERAS_BACKEND=torch"):
        fit(settings(tmp_path, processes=2), shapes())
    assert not (tmp_path / "run").exists()


def params_file(folder: Path, **changes: object) -> Path:
    data = shapes(side=32)
    folder.mkdir(exist_ok=True)
    dataset.save(data, folder / "dataset.npz")
    path = folder / "params.yaml"
    path.write_text(json.dumps({"train": {
        "network": "baseline_cnn", "network_options": {"dropout": 0, "head_dropout": 0}, "epochs": 1,
        "warmup_epochs": 0, "batch_size": 30, "learning_rate": 0.02, "weight_decay": 0.001,
        "augment": {"noise": 0, "flip": 0, "mixup": 0},
        "threads": 1, "dataset": str(folder / "dataset.npz"), "output": str(folder / "run"),
        "tracking_uri": new_store(folder), **changes,
    }}))  # fmt: skip
    return path


def start(params: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "train.fit", "--params", str(params), *options], cwd=REPOSITORY,
        env={**os.environ, "KERAS_BACKEND": "torch"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@needs_torch
@pytest.mark.timeout(600)  # seconds; several starts of TensorFlow on a busy machine
def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        process = start(params_file(tmp_path / name, processes=processes))
        assert process.wait() == 0, process.stdout and process.stdout.read()
    one, two = (keras.models.load_model(tmp_path / name / "run" / "model.keras") for name in ("one", "two"))
    for expected, found in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)
    # Biases begin at nothing: the two did not agree by standing still.
    assert max(np.abs(weight).max() for weight in one.get_weights() if weight.ndim == 1) > 2e-3


@needs_torch
@pytest.mark.timeout(600)
def test_helpers_end_when_the_leader_is_killed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    params = params_file(tmp_path / "killed", processes=2, epochs=400)
    leader = start(params)
    checkpoint = tmp_path / "killed" / "run" / "checkpoint.npz"
    deadline = time.monotonic() + 240
    while not checkpoint.exists():
        assert leader.poll() is None, leader.stdout and leader.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    helpers = children(leader.pid)
    assert helpers
    leader.send_signal(signal.SIGKILL)
    leader.wait()
    while any(Path(f"/proc/{helper}").exists() for helper in helpers):
        assert time.monotonic() < deadline, "a helper outlived its leader"
        time.sleep(0.1)
    again = start(params, "--minutes", "0.001")
    output, _ = again.communicate()
    assert again.returncode == 0, output
    done = int(output.split(" epoch ")[1].split()[0])
    assert done >= 1
    assert len(json.loads((tmp_path / "killed" / "run" / "history.json").read_text())) == done + 1


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it ended meanwhile
            continue
        if parent == pid:
            found.append(int(folder.name))
    return found
