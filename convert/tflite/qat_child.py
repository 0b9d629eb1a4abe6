"""The process of quantization-aware training: Keras 2 and tfmot, run by `qat` in an environment of its own.

Rebuilds the network from its layers and weights, trains it with int8 simulated in the forward pass, and converts it.
Nothing of `train` is imported here: it needs Keras 3.
"""

import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot  # type: ignore[import-not-found]
import tf_keras as keras  # type: ignore[import-not-found]
from numpy.typing import NDArray

from convert.settings import QuantizeSettings
from convert.tflite.plain_network import PlainLayer, PlainNetwork

_RANGE_IMAGES = 512  # enough to see what an activation reaches; the moving averages refine it


def build(network: PlainNetwork, weights: dict[str, NDArray[np.float32]]) -> Any:
    """The network in Keras 2: `pixel - zero_point` in, probabilities out."""
    picture = keras.Input(network.shape, name="picture")
    outputs: dict[str, Any] = {"picture": picture}
    for layer in network.layers:
        made = _layer(layer)
        inputs = [outputs[name] for name in layer.inputs]
        outputs[layer.name] = made(inputs[0] if len(inputs) == 1 else inputs)
        numbered = [weights[f"{layer.name}/{number}"] for number in range(len(made.weights))]
        if numbered:
            made.set_weights(numbered)
    return keras.Model(picture, outputs[network.output])


def train(model: Any, network: PlainNetwork, data: dict[str, NDArray[Any]], settings: QuantizeSettings) -> Any:
    """The model with quantization simulated, trained to answer as the float network does."""
    keras.utils.set_random_seed(settings.seed)
    aware = tfmot.quantization.keras.quantize_model(model)
    _set_ranges(aware, model, data["images"][:_RANGE_IMAGES].astype(np.float32) - network.zero_point)
    images, targets = data["images"], data["targets"]
    steps = settings.qat_epochs * math.ceil(len(images) / settings.qat_batch)
    # Down to nothing: what Adam still moves in the last steps is noise, and rounded weights have no time to settle.
    falling = keras.optimizers.schedules.CosineDecay(settings.qat_learning_rate, steps)
    aware.compile(keras.optimizers.Adam(falling), keras.losses.KLDivergence())
    batches = (
        tf.data.Dataset.from_tensor_slices((images, targets))
        .shuffle(min(len(images), 8192), seed=settings.seed)
        .batch(settings.qat_batch)
        .map(lambda pixels, target: (tf.cast(pixels, tf.float32) - float(network.zero_point), target))
        .prefetch(2)
    )
    aware.fit(batches, epochs=settings.qat_epochs, verbose=2)
    return aware


def convert(aware: Any, network: PlainNetwork) -> bytes:
    """Full int8 with uint8 pixels in and probabilities out, a batch of one."""
    _pin_input(aware, network.zero_point)
    fixed = tf.function(lambda picture: aware(picture, training=False)).get_concrete_function(
        tf.TensorSpec((1, *network.shape), tf.float32, name="pixels")
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([fixed], aware)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def _set_ranges(aware: Any, model: Any, pictures: NDArray[np.float32]) -> None:
    """Start every activation's range where the float network has it.

    tfmot starts them at -6..6 and moves them by a thousandth a step: a short training would end with that guess.
    """
    wrapped = {layer.layer.name: layer for layer in aware.layers if hasattr(layer, "layer")}
    watched = [layer for layer in model.layers if layer.name in wrapped]
    outputs = keras.Model(model.input, [layer.output for layer in watched]).predict(pictures, verbose=0)
    for layer, output in zip(watched, outputs if len(watched) > 1 else [outputs], strict=True):
        for weight in wrapped[layer.name].weights:
            match weight.name.rsplit("/", 1)[-1]:
                case "post_activation_min:0" | "output_min:0":
                    weight.assign(min(0.0, float(output.min())))
                case "post_activation_max:0" | "output_max:0":
                    weight.assign(float(output.max()))


def _pin_input(aware: Any, zero_point: int) -> None:
    """The input's range is that of a byte, whatever the moving averages saw: a stored pixel is the pixel."""
    for layer in aware.layers:
        if type(layer).__name__ == "QuantizeLayer":
            for weight in layer.weights:
                if weight.name.endswith("_min:0"):
                    weight.assign(-float(zero_point))
                elif weight.name.endswith("_max:0"):
                    weight.assign(255.0 - zero_point)


def _layer(layer: PlainLayer) -> Any:
    return getattr(keras.layers, layer.kind)(name=layer.name, **layer.settings)


def main(folder: Path) -> int:
    """Read the request in `folder`, leave `int8.tflite` there."""
    network = msgspec.json.decode((folder / "network.json").read_bytes(), type=PlainNetwork)
    settings = msgspec.json.decode((folder / "settings.json").read_bytes(), type=QuantizeSettings)
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        weights = {name: archive[name] for name in archive.files}
    with np.load(folder / "data.npz", allow_pickle=False) as archive:
        data = {name: archive[name] for name in archive.files}
    aware = train(build(network, weights), network, data, settings)
    (folder / "int8.tflite").write_bytes(convert(aware, network))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
