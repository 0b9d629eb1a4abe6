"""Quantization-aware training, in a process of its own.

tfmot works on the Keras 2 API only, which cannot live in one process with Keras 3; `make setup-qat` gives it the
environment `.venv-qat`. What passes between is plain files: the network as layers and weights, images and labels in,
a TFLite file out. The result goes through the same gate as any other.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from convert.settings import QuantizeSettings
from convert.tflite.centering import plan
from convert.tflite.conversion import prepared
from convert.tflite.plain_network import describe_network
from edge_contract.errors import EdgewiseError, UsageError
from train.data.dataset import Dataset, write_archive

_REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON: Final = _REPOSITORY / ".venv-qat/bin/python"


def to_int8(network: Any, data: Dataset, settings: QuantizeSettings, python: Path = PYTHON) -> bytes:
    """Fine-tune a trained Keras network with its quantization simulated, and convert it to full int8.

    It learns from the `train` split alone, and answers as the float network does: its soft answers are the targets, so
    no training recipe is repeated here.

    Raises:
        UsageError: the environment is absent, or the network has a layer that quantization-aware training lacks.
        EdgewiseError: the training process failed.
    """
    if not python.is_file():
        raise UsageError(
            f"quantization-aware training needs {python.parents[1]}", remedy="make it with `make setup-qat`"
        )
    rows = data.split_indices("train")
    centering = plan(network)
    if centering is None:
        raise UsageError(
            "quantization-aware training needs a network that begins with a rescaling", remedy="use method ptq"
        )
    layers, weights = describe_network(prepared(network, centering, "float32"), centering.zero_point)
    images = data.images[rows]
    targets = np.asarray(network.predict(images, batch_size=128, verbose=0), np.float32)
    with tempfile.TemporaryDirectory(prefix="edgewise-qat-") as name:
        folder = Path(name)
        (folder / "network.json").write_bytes(msgspec.json.encode(layers))
        (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
        write_archive(folder / "weights.npz", weights)
        write_archive(folder / "data.npz", {"images": images, "targets": targets})
        _run(python, folder)
        return (folder / "int8.tflite").read_bytes()


def _run(python: Path, folder: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(_REPOSITORY),
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    # Standard output stays the terminal's, for its progress bar: an epoch takes minutes.
    done = subprocess.run(
        [str(python), "-m", "convert.tflite.qat_child", str(folder)],
        cwd=_REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise EdgewiseError(f"quantization-aware training failed: {lines[-1] if lines else done.returncode}")
