"""A checkout of the retraining's own, in which the pipeline runs: until it has ended well, nothing else changes.

It is a clone of the commit at hand with params.yaml and dvc.lock as they are in the checkout, the checkout's DVC cache
and environments. Killed at any moment it is still there, and the same id goes on in it from the last whole epoch.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from edge_contract.durable import make_directory
from edge_contract.errors import EdgewiseError, UsageError
from train.params import write_values

BASE: Final = "build/base/dataset.npz"
FIELD: Final = "build/field"
PACKAGES: Final = "build/packages"
CHAMPION: Final = "build/champion.ewm"
_CARRIED: Final = ("params.yaml", "dvc.lock")
_ENVIRONMENTS: Final = (".venv", ".venv-tflite", ".venv-qat")
_BY_DVC: Final = 255
"""What DVC ends with for an error of its own, and for a stage's."""


class Workspace:
    """The clone in `tree`, of `checkout`."""

    def __init__(self, checkout: Path, tree: Path, store: str) -> None:
        """`store`: where MLflow keeps the runs, an absolute address."""
        self.checkout, self.tree = checkout.resolve(), tree.resolve()
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.tree),  # the clone's code, wherever these modules came from
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_TRACKING_URI": store,
        }

    def make(self) -> None:
        """Clone, unless that was done before; half a clone is begun again.

        Raises:
            EdgewiseError: git or DVC refuses.
        """
        whole = self.tree / ".dvc" / "config.local"
        if not whole.exists():
            shutil.rmtree(self.tree, ignore_errors=True)
            make_directory(self.tree.parent)
            self._run(["git", "clone", "--quiet", str(self.checkout), str(self.tree)], self.checkout)
            for name in _CARRIED:
                if (self.checkout / name).is_file():
                    shutil.copyfile(self.checkout / name, self.tree / name)
            for name in _ENVIRONMENTS:
                if (self.checkout / name).exists():
                    (self.tree / name).symlink_to((self.checkout / name).resolve())
            # Last, for this file says that all before it is there.
            self._run([sys.executable, "-m", "dvc", "cache", "dir", "--local", str(self._cache())], self.tree)
        # A process that was killed leaves its name in DVC's lock; another run of this id is not there, by ours.
        (self.tree / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)

    def _cache(self) -> Path:
        asked = [sys.executable, "-m", "dvc", "cache", "dir"]
        return (self.checkout / self._said(asked, self.checkout)).resolve()

    def place(self, source: Path, name: str) -> None:
        """Put a file of the checkout at `name` in the clone, or a link where a folder is meant."""
        target = self.tree / name
        make_directory(target.parent)
        if source.is_dir():
            target.unlink(missing_ok=True)
            target.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, target)

    def change(self, sections: dict[str, dict[str, object]]) -> None:
        """Write these values into the clone's params.yaml."""
        for name, values in sections.items():
            write_values(self.tree / "params.yaml", name, values)

    def restore(self, folder: str) -> str:
        """The champion's network in `folder`/model.keras, in the clone; why not where the pipeline trains another."""
        command = [sys.executable, "-m", "convert.restore", "--package", CHAMPION, "--params", "params.yaml"]
        done = subprocess.run(
            [*command, "--output", folder], cwd=self.tree, env=self._environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "?"

    def repro(self) -> bool:
        """Run the pipeline, its words on standard output and error; whether it ended well."""
        sys.stdout.flush()
        done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=self.tree, env=self._environment, check=False)
        if done.returncode not in (0, 1, _BY_DVC):
            raise EdgewiseError(
                f"`dvc repro` was ended (status {done.returncode})", remedy="give the same RETRAIN_RUN to go on"
            )
        return done.returncode == 0

    def remove(self) -> None:
        """Delete the clone: labelled faces are linked from it, and its data are in the cache."""
        shutil.rmtree(self.tree, ignore_errors=True)

    def _run(self, command: list[str], folder: Path) -> None:
        self._said(command, folder)

    def _said(self, command: list[str], folder: Path) -> str:
        try:
            done = subprocess.run(
                command, cwd=folder, env={**self._environment, "LC_ALL": "C"}, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise UsageError(f"{command[0]} is not installed", remedy="install it") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-300:]
            raise EdgewiseError(f"`{' '.join(command[:4])} …` failed ({said})", remedy="mend that, and run it again")
        return done.stdout.strip()
