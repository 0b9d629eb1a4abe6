"""The working tree as it is in a git repository of its own, for tests that run the pipeline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.mlflow_store import new_store

REPOSITORY: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent


def environment(folder: Path) -> dict[str, str]:
    """For commands in that checkout; MLflow's store is in the folder too (`checkout` makes its tables)."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "RETRAIN_"))},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


def run(folder: Path, *command: str, status: int = 0, **more: str) -> str:
    """What the command printed; it must end with this status."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder) | more, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def checkout(folder: Path, changes: dict[str, str]) -> Path:
    """Copy the tree, change these pieces of params.yaml, and commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    for name in (name for name in listed.stdout.split("\n") if (REPOSITORY / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
    for name in (".venv", ".venv-tflite"):
        if (REPOSITORY / name).exists():
            (folder / name).symlink_to((REPOSITORY / name).resolve())
    params = (folder / "params.yaml").read_text()
    for setting, other in changes.items():
        assert setting in params
        params = params.replace(setting, other)
    (folder / "params.yaml").write_text(params)
    new_store(folder)
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "-m", "as it is")
    return folder
