"""From a Keras network to TFLite files: float, and full int8. Only this module and its callers load TensorFlow.

The converted graph always has a batch of one: with an open batch XNNPACK silently steps aside on some runtimes.
Its input is pixels 0..255 as uint8 and its output probabilities, so no caller scales anything.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.tflite.centering import Centering, plan
from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.errors import UsageError

Images = NDArray[np.uint8]
"""Pixels [N, height, width, channels]."""


def load_network(path: Path) -> Any:
    """A trained Keras network, as `train` leaves it.

    Raises:
        UsageError: the file is absent, no Keras file, or the network does not take one image of a fixed size and
            answer one probability per label.
    """
    try:
        check_file(path, limits.NETWORK_BYTES)  # Keras opens it by name
    except FileNotFoundError:
        raise UsageError(f"{path} is not there", remedy="train a network first (`make train`)") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="name a network's file") from error
    keras = keras_on_tensorflow()
    try:
        network = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise UsageError(
            f"{path} is no Keras network that can be read ({_first_line(error)})", remedy="train it again"
        ) from error
    _check_shapes(network, path)
    return network


def keras_on_tensorflow() -> Any:
    """Keras on TensorFlow, the only one whose graphs the converter reads, whatever trained the network."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # often still another one's, in the shell that trained
    import keras  # noqa: PLC0415 - TensorFlow takes seconds and 800 MB

    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            "Keras runs on another backend here, and TensorFlow converts", remedy="set KERAS_BACKEND=tensorflow"
        )
    return keras


def check_fits(network: Any, image: tuple[int, ...], labels: tuple[str, ...], path: Path) -> None:
    """Check that the network fits the data it is converted with.

    Raises:
        UsageError: it takes other images than [height, width, channels] or answers another number of labels.
    """
    if network.input_shape[1:] != image:
        raise UsageError(f"the network in {path} takes {network.input_shape[1:]}, the data set's images are {image}.")
    answers = int(network.output_shape[-1])
    if answers != len(labels):
        raise UsageError(
            f"the network in {path} answers {answers} classes, the data set has {len(labels)} ({', '.join(labels)})."
        )


def weights_of(network: Any) -> int:
    """Weights in kernels and matrices, without biases and normalization."""
    return sum(int(np.prod(weight.shape)) for weight in network.weights if len(weight.shape) > 1)


def predict(network: Any, images: Images) -> NDArray[np.float32]:
    """Probabilities [N, labels] of the network itself, in float: the training path's own answer."""
    return np.asarray(network.predict(images, batch_size=128, verbose=0), np.float32)


def to_float(network: Any) -> bytes:
    """The network as a float TFLite file with uint8 input [1, height, width, channels].

    Raises:
        UsageError: an operator has no TFLite form.
    """
    return _convert(prepared(network, plan(network), "uint8"), lambda _: None)


def to_dynamic_range(network: Any) -> bytes:
    """Weights in int8, activations in float: not for shipping (see the gate), kept to compare.

    Raises:
        UsageError: an operator has no TFLite form.
    """

    def quantize(converter: Any) -> None:
        import tensorflow as tf  # noqa: PLC0415

        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return _convert(prepared(network, plan(network), "uint8"), quantize)


def to_int8(network: Any, calibration: Images, progress: Callable[[int], None] = lambda _: None) -> bytes:
    """The network in full int8: weights, activations, uint8 pixels in, uint8 probabilities out.

    `calibration` sets the ranges of all activations. One more image, the first with a black and a white pixel in its
    corners, pins the input's range to 0..255, so that a stored pixel is the pixel whatever the set holds.

    Raises:
        UsageError: the calibration set is empty or does not fit, or an operator has no int8 form.
    """
    if len(calibration) == 0:
        raise UsageError("the calibration set is empty", remedy="raise quantize.calibration_images in params.yaml")
    if calibration.shape[1:] != network.input_shape[1:]:
        raise UsageError(
            f"calibration images of {calibration.shape[1:]} do not fit the network's input {network.input_shape[1:]}."
        )
    pinned = calibration[:1].copy()
    pinned[0, 0, 0], pinned[0, -1, -1] = 0, 255
    centering = plan(network)
    zero_point = centering.zero_point if centering else 0

    def quantize(converter: Any) -> None:
        import tensorflow as tf  # noqa: PLC0415

        def samples() -> Any:
            for count, image in enumerate(np.concatenate([pinned, calibration])):
                progress(count)
                yield [image[np.newaxis].astype(np.float32) - zero_point]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8

    # A float input here: from a uint8 one the converter would keep a cast, and with it a float island in the graph.
    return _convert(prepared(network, centering, "float32"), quantize)


def prepared(network: Any, centering: Centering | None, dtype: str) -> Any:
    """The same network behind an input of batch one and this type, its rescaling folded where it can be.

    With uint8 the graph itself takes the zero point off the pixel; with float32 the caller's tensor has it off.
    """
    keras = keras_on_tensorflow()
    keras.utils.clear_session()  # tensor names count up through a process; equal networks must give equal files

    def copy(layer: Any) -> Any:
        if centering is None or layer.name != centering.rescaling:
            return type(layer).from_config(layer.get_config())
        if dtype == "uint8":
            return keras.layers.Rescaling(1.0, -centering.zero_point, name=layer.name)
        return keras.layers.Activation("linear", name=layer.name)

    pixels = keras.Input(batch_shape=(1, *network.input_shape[1:]), dtype=dtype, name="pixels")
    clone = keras.models.clone_model(network, input_tensors=pixels, clone_function=copy)
    _carry_state(network, clone)
    if centering is not None:
        centering.absorb(clone)
    return clone


def first_changed_layer(network: Any, images: Images) -> str:
    """Name and kind of the first layer that answers these images [N, height, width, channels] otherwise in a copy.

    Empty when none does: then it was not the copy that changed the network.
    """
    copy = prepared(network, None, "uint8")
    for layer in network.layers:
        ours, theirs = (_output_of(model, layer.name, images) for model in (network, copy))
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3, atol=1e-4):
            return f"{layer.name} ({type(layer).__name__})"
    return ""


def _output_of(network: Any, layer: str, images: Images) -> NDArray[Any]:
    # Not the layer's `output`: that of a network within the network is its own, of another graph.
    output = network.get_layer(layer)._inbound_nodes[-1].output_tensors[0]
    part = keras_on_tensorflow().Model(network.inputs[0], output)
    return np.concatenate([np.asarray(part(image[np.newaxis], training=False)) for image in images])


def _carry_state(network: Any, copy: Any) -> None:
    """Give every layer of a copy all that the network's layer has, as a file of the network would.

    Weights alone are not all: `Normalization` works with numbers that it derives from its weights when they are read
    from a file, and not when they are set.

    Raises:
        UsageError: a layer of the copy has other weights than the network's.
    """
    for layer, copied in zip(_layers(network), _layers(copy), strict=True):
        if not layer.variables:
            continue
        state: dict[str, Any] = {}
        layer.save_own_variables(state)
        copied.load_own_variables(state)
        pairs = zip(layer.get_weights(), copied.get_weights(), strict=True)
        if not all(np.array_equal(mine, other) for mine, other in pairs):
            raise UsageError(
                f"the layer {layer.name} ({type(layer).__name__}) loses its state when it is copied",
                remedy="replace it by layers that Keras brings",
            )


def _layers(network: Any) -> list[Any]:
    """Layers that hold variables of their own, those inside other layers too, in a fixed order."""
    return [layer for layer in network._flatten_layers() if not hasattr(layer, "layers")]


def _convert(network: Any, configure: Callable[[Any], None]) -> bytes:
    import tensorflow as tf  # noqa: PLC0415

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    configure(converter)
    try:
        # The converter prints every captured variable, and warns that it will count the ranges itself.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            return bytes(converter.convert())
    except Exception as error:
        raise UsageError(f"the network cannot be converted: {_first_line(error)}") from error


def _check_shapes(network: Any, path: Path) -> None:
    try:
        taken, given = network.input_shape, network.output_shape
    except AttributeError as error:
        raise UsageError(f"the network in {path} has not one input and one output: it cannot be converted.") from error
    if not isinstance(taken, tuple) or not isinstance(given, tuple):
        raise UsageError(
            f"the network in {path} has several inputs or outputs", remedy="give it one picture and one answer"
        )
    if len(taken) != 4 or any(side is None for side in taken[1:]):
        raise UsageError(
            f"the network in {path} takes {taken}", remedy="give it a fixed [height, width, channels] before converting"
        )
    if len(given) != 2 or given[1] is None:
        raise UsageError(f"the network in {path} answers {given}", remedy="let it answer one probability per label")


def _first_line(error: Exception) -> str:
    """The sentence of an error that can fill pages; of the first one, where the converter tried twice."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
