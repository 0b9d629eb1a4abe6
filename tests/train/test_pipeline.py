"""`make data` and the pipeline through a real DVC, in a checkout of their own: whose pictures are trained on, what is
out of date, and what a clone needs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.mlflow_store import new_store

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
SMALL: Final = {"  epochs: 20\n": "  epochs: 1\n", "network_options: {}": "network_options: {widths: [8, 8, 8, 8]}"}
pytestmark = [pytest.mark.xdist_group("pipeline"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


def run(folder: Path, *command: str) -> str:
    """What the command printed; it must end well."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": new_store(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Trained:
    """A checkout after `make data` of a folder and `dvc repro train`, and what these said."""

    folder: Path
    params_before: str
    said: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The working tree as it is, in a repository of its own, with a folder of digits as its data."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    for name in (name for name in listed.stdout.split("\n") if (REPOSITORY / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    params = (folder / "params.yaml").read_text()
    for setting, small in SMALL.items():
        assert setting in params
        params = params.replace(setting, small)
    (folder / "params.yaml").write_text(params)
    run(folder, "git", "init", "--quiet")
    pictures = folder / "build" / "digits"
    run(folder, sys.executable, "examples/digits/pictures.py", str(pictures))
    for digit in (pictures / "train").iterdir():
        for spare in sorted(digit.iterdir())[40:]:
            spare.unlink()
    # `-o setup`: the environment that runs these tests is the one to use.
    run(folder, "make", "-o", "setup", f"VENV={BIN.parent}", "data", "SOURCE=build/digits")
    shutil.move(pictures, folder / "build" / "elsewhere")  # the pipeline does not read them again
    return Trained(folder, params, run(folder, "dvc", "repro", "train"))


def test_make_data_names_the_source_where_the_pipeline_reads_it(trained: Trained) -> None:
    before, after = trained.params_before.splitlines(), (trained.folder / "params.yaml").read_text().splitlines()
    ((_, now),) = [(line, now) for line, now in zip(before, after, strict=True) if line != now]
    assert now.split()[:2] == ["source:", "build/digits"]


def test_the_pipeline_trains_on_the_pictures_that_make_data_read(trained: Trained) -> None:
    assert "Stage 'prepare' didn't change, skipping" in trained.said
    report = json.loads((trained.folder / "data" / "report.json").read_text())
    in_training = sum(report["counts"]["train"].values())
    assert list(report["counts"]["train"]) == list("0123456789")
    assert f"{in_training} pictures, epoch 0 of 1 done" in trained.said


def test_what_python_leaves_behind_makes_no_stage_out_of_date(trained: Trained) -> None:
    for package in ("train", "convert", "edge_contract", "edge_vision"):
        compiled = trained.folder / package / "__pycache__" / "of_another_python.pyc"
        compiled.parent.mkdir(exist_ok=True)
        compiled.write_bytes(b"compiled")
    assert "up to date" in run(trained.folder, "dvc", "status", "prepare", "train")


def test_a_clone_gets_everything_from_the_remote_and_has_nothing_to_do(trained: Trained, tmp_path: Path) -> None:
    checkout = trained.folder
    run(checkout, "git", "add", "--all")
    run(checkout, "git", "commit", "--quiet", "-m", "as it is")
    run(checkout, "dvc", "push", "--quiet", "prepare", "train")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(checkout), str(clone))
    run(clone, "dvc", "remote", "add", "--local", "--force", "local", str(checkout / ".dvc-remote"))
    run(clone, "dvc", "pull", "--quiet", "prepare", "train")
    assert "up to date" in run(clone, "dvc", "status", "prepare", "train")
    assert (clone / "data/report.txt").read_bytes() == (checkout / "data/report.txt").read_bytes()
    assert (clone / "build/train/history.json").exists()
