"""The folder of a finished run (`train.output`): its network, params, history and pictures, written and read back."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import check_file, read_file
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from train.loop.settings import TrainParams
from train.network import build
from train.scoring import plots, scores

MODEL: Final = "model.keras"
PARAMS: Final = "params.json"
RESULT: Final = "result.json"


def load_run(run: Path, label_names: tuple[str, ...]) -> tuple[Any, TrainParams]:
    """A finished run's network in shipped form, and what it was trained with.

    Raises:
        UsageError: The folder holds no finished run, or one for other labels.
    """
    if not (run / MODEL).exists() or not (run / PARAMS).exists():
        raise UsageError(f"{run} holds no finished training", remedy="train it first (`python -m train.fit`)")
    try:
        params = msgspec.json.decode(read_file(run / PARAMS, limits.DOCUMENT_BYTES), type=TrainParams)
        check_file(run / MODEL, limits.NETWORK_BYTES)  # Keras opens it by name
        shipped = keras.models.load_model(run / MODEL, compile=False)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{run} holds no training that can be read ({reason})", remedy="train it again") from error
    if shipped.output_shape[-1] != len(label_names):
        raise UsageError(f"{run} answers {shipped.output_shape[-1]} classes, the dataset has {len(label_names)}.")
    return shipped, params


def write_params(output: Path, params: TrainParams) -> None:
    """Write what the run is trained with, which `load_run` reads; the folder is made where it is not there."""
    output.mkdir(parents=True, exist_ok=True)
    write_file(output / PARAMS, msgspec.json.format(msgspec.json.encode(params), indent=1))


def write_outputs(
    output: Path, *, model: Any, history: list[dict[str, float]], labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32], label_names: tuple[str, ...], mlflow_run: str = "",
) -> None:  # fmt: skip
    """The shipped network, its history, result and pictures; the model appears under its name only when it is whole.

    The result says of which network it is, by digest: gate and package take it for no other's.
    """
    output.mkdir(parents=True, exist_ok=True)
    build.save(model, output / MODEL)
    write_file(output / "history.json", (json.dumps(history, indent=1) + "\n").encode())
    result = scores.score(labels, probabilities)
    known = {
        "network": hashlib.sha256(read_file(output / MODEL, limits.NETWORK_BYTES)).hexdigest(),
        "selection_accuracy": result.accuracy.value, "selection_n": result.n, "mlflow_run": mlflow_run,
    }  # fmt: skip
    write_file(output / RESULT, (json.dumps(known, indent=1) + "\n").encode())
    plots.learning_curve(history, output / "learning_curve.png")
    plots.confusion(result.confusion, label_names, output / "confusion_selection.png")
    plots.reliability(labels, probabilities, output / "reliability_selection.png")
