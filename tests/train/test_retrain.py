"""`make retrain` for real, in a checkout of its own: from a champion of drawn faces to a better one in the dark, a
refusal of poisoned labels, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from edge_contract import package
from tests.train.checkout import checkout, environment, run
from tests.train.data.field_folder import row, write_field
from train.data import synthetic
from train.data.rows import EMOTIONS, PictureFormat

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline"), pytest.mark.timeout(3600)]

FACES: Final = 420
SMALL: Final = {  # as in the demo: drawings, and a network of 4 MMAC
    "synthetic:2100": "synthetic:1400",
    "  epochs: 20\n": "  epochs: 16\n",
    "network_options: {}": "network_options: {widths: [16, 32, 48, 64], depths: [1, 2, 1, 1]}",
    "  batch_size: 128\n": "  batch_size: 32\n",
    "optimizer: sgd ": "optimizer: adamw ",
    "  learning_rate: 0.05\n": "  learning_rate: 0.003\n",
    "    erase: 0.3\n": "    erase: 0.0\n",
    "    low_light: 0.05\n": "    low_light: 0.0\n",
    "    contrast: 0.3\n": "    contrast: 0.1\n",
    "accuracy_drop: 0.005": "accuracy_drop: 0.02",
    "agreement: 0.95\n": "agreement: 0.9\n",
    "largest_difference: 0.6\n": "largest_difference: 0.9\n",
    "  field_device_share: 0.1 ": "  field_device_share: 0.2 ",
    "  epochs: 6\n  learning_rate: 0.01\n": "  epochs: 6\n  learning_rate: 0.004\n",
    '  champion: ""                # the package': "  champion: build/packages/synthetic-1.ewm  # the package",
}


@dataclass(frozen=True)
class Road:
    """A checkout with a champion, and faces that three devices sent from the dark."""

    folder: Path
    field: Path
    poisoned: Path


def _dark(folder: Path, *, wrong: str = "") -> Path:
    """Drawn faces that no data set holds, with a third of the light; labels of the device `wrong` are exchanged."""
    drawn = synthetic.read(f"synthetic:{FACES}", PictureFormat(), seed=77)
    generator = np.random.default_rng(5)
    order = generator.permutation(FACES)
    noise = generator.normal(0, 4, (FACES, 48, 48))
    pictures = [np.clip(drawn.images[at, :, :, 0] * 0.3 + noise[at], 0, 255).astype(np.uint8) for at in order]
    rows = []
    for number, at in enumerate(order):
        device, label = f"cam-{number % 3}", int(drawn.labels[at])
        if device == wrong:
            label = (label + 1) % 7
        rows.append(row(number, device=device, track=str(number), label=EMOTIONS[label]))
    return write_field(folder, rows, pictures=pictures)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    base = tmp_path_factory.mktemp("retrain")
    folder = checkout(base / "checkout", SMALL)
    run(folder, sys.executable, "-m", "dvc", "repro")
    return Road(folder, _dark(base / "field"), _dark(base / "poisoned", wrong="cam-2"))


def state_of(folder: Path) -> dict[str, bytes | None]:
    """What a retraining must leave as it was."""
    names = ("params.yaml", "dvc.lock", "data/dataset.npz", "data/report.json", "build/train/model.keras",
             "build/convert/gate.json", "build/convert/int8.tflite")  # fmt: skip
    return {name: (folder / name).read_bytes() for name in names}


def retrain(road: Road, name: str, *, cause: str = "", field: Path | None = None, status: int = 0) -> dict[str, Any]:
    said = run(
        road.folder, sys.executable, "-m", "convert.retrain", status=status,
        RETRAIN_RUN=name, RETRAIN_CAUSE=cause, RETRAIN_FIELD=str(field or ""),
    )  # fmt: skip
    answer = json.loads(said.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


def test_labels_from_the_dark_make_a_model_that_is_better_there_and_no_worse_elsewhere(road: Road) -> None:
    before = state_of(road.folder)
    answer = retrain(road, "night-1", cause="dark", field=road.field)
    assert (answer["name"], answer["release"]) == ("synthetic", 2)
    packed = package.read_file(road.folder / answer["package"])
    assert packed.manifest.digest == answer["digest"]
    figures = answer["measured"]
    assert figures["field_accuracy_after"] > figures["field_accuracy_before"] + 0.05
    assert figures["accuracy_after"] > figures["accuracy_before"] - 0.05
    print(json.dumps(figures))
    assert state_of(road.folder) == before
    run_folder = road.folder / "build" / "retrain" / "night-1"
    assert not (run_folder / "tree").exists()
    assert json.loads((run_folder / "result.json").read_text()) == answer
    assert "challenger" in run(road.folder, "edgewise", "registry", "show", "synthetic", "2")
    assert retrain(road, "night-1", cause="dark", field=road.field) == answer  # again: nothing is trained
    said = run(road.folder, sys.executable, "-m", "convert.summary")
    assert "## Retraining night-1" in said
    assert "| faces from devices, held out |" in said
    assert "cam-1" in said


def test_a_device_whose_crops_are_labelled_wrong_is_refused_by_name_and_nothing_changes(road: Road) -> None:
    before = state_of(road.folder)
    packages = sorted((road.folder / "build" / "packages").iterdir())
    answer = retrain(road, "poison-1", cause="dark", field=road.poisoned, status=3)
    assert any(reason.startswith("labels of cam-2: ") for reason in answer["reasons"]), answer
    assert state_of(road.folder) == before
    assert sorted((road.folder / "build" / "packages").iterdir()) == packages
    assert retrain(road, "poison-1", cause="dark", field=road.poisoned, status=3) == answer


def test_killed_while_it_trains_the_same_id_goes_on_and_ends(road: Road) -> None:
    before = state_of(road.folder)
    asked = {"RETRAIN_RUN": "killed-1", "RETRAIN_CAUSE": "dark", "RETRAIN_FIELD": ""}
    with (road.folder / "said").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "convert.retrain"], cwd=road.folder, env=environment(road.folder) | asked,
            stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
        checkpoint = road.folder / "build" / "retrain" / "killed-1" / "tree" / "build" / "train" / "checkpoint.npz"
        deadline = time.monotonic() + 900
        while not checkpoint.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert state_of(road.folder) == before
    answer = retrain(road, "killed-1", cause="dark")
    assert answer.get("release", 0) >= 2
    assert "field_accuracy_after" not in answer["measured"]
