"""Runs `accuracy_peer.py` in the environment of the `fer` package and brings its answers into the dataset's order."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_answers import Probabilities
from benchmarks.accuracy_rows import Cost, cost_of_tflite
from edge_contract.errors import EdgewiseError, UsageError
from train.data.dataset import write_archive

FORMS = ("float", "quantized")
REMEDY = "python3.11 -m venv .venv-fer && .venv-fer/bin/pip install fer==25.10.3"
_SCRIPT = Path(__file__).parent / "accuracy_peer.py"


@dataclass(frozen=True, slots=True)
class Peer:
    """The `fer` package, to be asked through another Python."""

    python: Path
    form: str
    labels: tuple[str, ...]

    @property
    def model(self) -> Path:
        """The model file inside the package.

        Raises:
            UsageError: The environment or the package is not there; the text has the command that makes it.
        """
        name = {"float": "emotion_model.hdf5", "quantized": "emotion_model_quantized.tflite"}[self.form]
        found = sorted(self.python.parents[1].glob(f"lib/python3*/site-packages/fer/data/{name}"))
        if not found:
            raise UsageError(f"{self.python} has no `fer`", remedy=f"run `{REMEDY}`")
        return found[0]

    def cost(self) -> Cost:
        """Parameters, multiply-accumulates (of the quantized file: both forms are one network) and bytes."""
        path = self.model
        if path.suffix == ".tflite":
            return cost_of_tflite(path.read_bytes())
        graph = cost_of_tflite(path.with_name("emotion_model_quantized.tflite").read_bytes())
        return Cost(_hdf5_parameters(path), graph.mmac, path.stat().st_size)

    def ask(self, images: NDArray[np.uint8]) -> Probabilities:
        """Answers [N,classes] for pictures [N,H,W,1], columns in the order of `labels`.

        Raises:
            EdgewiseError: The package failed.
            UsageError: It knows other labels than the dataset.
        """
        with tempfile.TemporaryDirectory() as folder:
            pictures, answers = Path(folder) / "pictures.npz", Path(folder) / "answers.npz"
            write_archive(pictures, {"images": images})
            done = subprocess.run([self.python, _SCRIPT, self.form, pictures, answers], check=False)
            if done.returncode:
                raise EdgewiseError(
                    f"the `fer` package failed (exit code {done.returncode})", remedy=f"make it anew with `{REMEDY}`"
                )
            with np.load(answers, allow_pickle=False) as archive:
                names = [str(name) for name in archive["labels"]]
                probabilities = archive["probabilities"]
        if sorted(names) != sorted(self.labels):
            raise UsageError(f"the `fer` package answers {', '.join(names)}: not what this dataset's labels are.")
        return np.asarray(probabilities[:, [names.index(label) for label in self.labels]], np.float32)


def _hdf5_parameters(path: Path) -> int:
    """Numbers in a Keras 2 file's weights, read without building its network."""
    total = 0

    def count(_name: str, item: object) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            total += int(np.prod(item.shape))

    with h5py.File(path) as file:
        file.get("model_weights", file).visititems(count)
    return total
