"""The walkthrough of docs/any-dataset.md, run to its end: digits from folders to answers of the agent."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_contract.package import read_file
from tests.mlflow_store import new_store

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMS = "examples/digits/params.yaml"


def commands(folder: Path) -> list[list[str]]:
    """The page's shell block with everything written under `folder` instead of build/digits."""
    page = (REPOSITORY / "docs" / "any-dataset.md").read_text()
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    params = folder / "params.yaml"
    params.write_text((REPOSITORY / PARAMS).read_text().replace("build/digits", str(folder)))
    lines = block[1].replace(PARAMS, str(params)).replace("build/digits", str(folder)).splitlines()
    return [shlex.split(line) for line in lines]


def test_the_page_and_the_example_name_the_same_files(tmp_path: Path) -> None:
    road = [command[2] if command[0] == "python" else command[0] for command in commands(tmp_path)]
    assert road[1:] == [
        "train.prepare", "train.fit", "train.evaluate", "convert.quantize", "convert.gate", "convert.package",
        "edgewise-agent",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_digits_take_the_same_road_as_faces_with_no_code_changed(tmp_path: Path) -> None:
    if not (REPOSITORY / ".venv-tflite").is_dir():
        pytest.skip("the gate asks tflite-runtime too: run `make setup-tflite`")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "MLFLOW_TRACKING_URI": new_store(tmp_path),
    }
    said = ""
    for command in commands(tmp_path):
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
        said = done.stdout
    manifest = read_file(tmp_path / "packages" / "digits-1.ewm").manifest
    assert manifest.labels == tuple("0123456789")
    assert manifest.crop.around == "frame"
    assert manifest.accuracy is not None
    assert manifest.accuracy.int8.accuracy > 0.95
    # One frame a picture in order of names, each named after what it shows; no face is searched.
    truth = [path.stem.rpartition("-")[2] for path in sorted((tmp_path / "pictures-camera").iterdir())]
    answers = re.findall(r"face \d+ +(\d) ", said)
    assert len(answers) == len(truth) == 20
    assert sum(answer == label for answer, label in zip(answers, truth, strict=True)) >= 18
