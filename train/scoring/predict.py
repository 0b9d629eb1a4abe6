"""A model file's probabilities for pictures: `.keras` through Keras, `.tflite` and packages through LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_contract import limits, package
from edge_contract.bounded_read import check_file, read_file
from edge_contract.errors import UsageError
from edge_vision import confined_goldens
from edge_vision.patience import Patience
from train.progress import steps


def probabilities_of(model: Path, images: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Answers [N,classes] for uint8 pictures [N,H,W,C], one crop each, each row summing to 1.

    Raises:
        UsageError: The file is missing, is of another kind, or does not fit pictures or classes.
        TrustError: A package is damaged, or its model did not survive its goldens.
    """
    if not model.exists():
        raise UsageError(f"{model} does not exist", remedy="run `make train` (or `make quantize` for a .tflite) first")
    match model.suffix:
        case ".keras":
            answers = _keras(model, images)
        case ".tflite":
            answers = _tflite(model, _model_file(model), images)
        case package.SUFFIX:
            data = package.bytes_of(model)
            content = package.read(data, str(model)).model
            confined_goldens.check(data, str(model))  # perhaps another's: it comes back from a child first
            answers = _tflite(model, content, images)
        case suffix:
            raise UsageError(f"{model} ends in `{suffix}`: a model is a .keras, .tflite or {package.SUFFIX} file.")
    if answers.shape[1] != classes:
        raise UsageError(f"{model} answers {answers.shape[1]} classes, the dataset has {classes}.")
    return answers


def _model_file(path: Path) -> bytes:
    try:
        return read_file(path, limits.NETWORK_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="name a model's file") from error


def _keras(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import keras  # noqa: PLC0415 - scoring a .tflite needs no training framework

    try:
        check_file(path, limits.NETWORK_BYTES)  # Keras opens it by name
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="name a model's file") from error
    try:
        model: Any = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path} is not a Keras model ({reason}).") from error
    _refuse_shape(path, tuple(model.input_shape[1:]), images)
    return np.asarray(keras.ops.convert_to_numpy(model.predict(images, batch_size=256, verbose=0)), np.float32)


def _tflite(path: Path, content: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - scoring a .keras needs no interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{path} is not a model that LiteRT can load ({reason}).") from error
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    _refuse_shape(path, tuple(given["shape"][1:]), images)
    if given["dtype"] != np.uint8:
        raise UsageError(
            f"{path} takes {np.dtype(given['dtype'])}, not uint8 pixels", remedy="convert it with `make quantize`"
        )
    rows = np.empty((len(images), int(answer["shape"][-1])), np.float32)
    patience = Patience(str(path))
    for index, image in enumerate(steps(images, path.name)):
        interpreter.set_tensor(given["index"], image[None])
        with patience:
            interpreter.invoke()
        rows[index] = interpreter.get_tensor(answer["index"])[0]
    scale, zero_point = answer["quantization"]
    if scale:
        rows = (rows - zero_point) * np.float32(scale)
    # int8 probabilities come in steps of 1/256 and do not quite sum to 1; the calibration error is of what sums to 1.
    normalised: NDArray[np.float32] = rows / np.maximum(rows.sum(axis=1, keepdims=True), np.float32(1e-6))
    return normalised


def _refuse_shape(path: Path, shape: tuple[int | None, ...], images: NDArray[np.uint8]) -> None:
    if tuple(shape) != images.shape[1:]:
        raise UsageError(f"{path} takes pictures of {list(shape)}, the dataset holds {list(images.shape[1:])}.")
