"""A shipped network back in the form that trains, so that training can go on from it with other pictures.

This is the reverse of `fold.fold` as far as there is one: the folded convolution stands in the 3x3 branch, its
normalisation gets the statistics that it would have had, and a 1x1 branch begins at nothing. The network then answers
as the shipped one does, and every branch can learn.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.errors import UsageError
from train.network.builder import Builder, ConvRecord
from train.network.mirror import MirrorConv, with_mirror_images

MEASURED_PICTURES, BATCH = 1024, 128


def load_shipped(path: Path) -> Any:
    """A `model.keras` as `make train` writes it.

    Raises:
        UsageError: The file holds no network.
    """
    try:
        check_file(path, limits.NETWORK_BYTES)  # Keras opens it by name
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="check train.start_from") from error
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is no network that `make train` wrote ({error})", remedy="check train.start_from"
        ) from error


def unfold(shipped: Any, network: Any, builder: Builder, images: NDArray[np.uint8]) -> None:
    """Give `network` (training form) the answers of `shipped`; heads begin anew where the classes differ.

    `images` [N,H,W,C] are what normalisation statistics are measured on.

    Raises:
        UsageError: They are not the same network.
    """
    names = {layer.name for layer in shipped.layers}
    for layer in network.layers:
        if layer.name in names and layer.weights:
            _take(layer, shipped.get_layer(layer.name).get_weights())
    normalised = {name: record for name, record in builder.records.items() if record.normalised}
    biases = {name: _unfold_convolution(shipped, network, name, record) for name, record in normalised.items()}
    for conv, (mean, variance) in _statistics(network, _convolutions(normalised), images).items():
        norm = network.get_layer(conv.removesuffix("_conv") + "_norm")
        if conv in (f"{name}_conv" for name in biases):
            gain = np.sqrt(variance + norm.epsilon)
            norm.set_weights([gain, biases[conv.removesuffix("_conv")] + mean, mean, variance])
        else:
            norm.set_weights([np.zeros_like(mean), np.zeros_like(mean), mean, variance])


def _take(layer: Any, weights: list[NDArray[np.float32]]) -> None:
    if layer.name == "head":
        kernel, bias = weights
        places, rest = divmod(layer.weights[0].shape[0], kernel.shape[0])
        if kernel.shape[0] == 2 * layer.weights[0].shape[0]:  # it saw pairs of maps, this one sees their mean
            weights = [kernel.reshape(2, -1, kernel.shape[1]).sum(axis=0), bias]
        elif not rest:  # a head that sees every place answers as the average did when each has its share of the weight
            weights = [np.tile(kernel, (places, 1)) / places, bias]
    if [tuple(held.shape) for held in layer.weights] == [value.shape for value in weights]:
        layer.set_weights(weights)
    elif layer.name != "head":
        raise _misfit(layer.name)


def _unfold_convolution(shipped: Any, network: Any, name: str, record: ConvRecord) -> NDArray[np.float32]:
    """Give the 3x3 branch alone the folded convolution's answers; returns the bias, which is its norm's for now."""
    conv, norm = network.get_layer(f"{name}_conv"), network.get_layer(f"{name}_norm")
    held = shipped.get_layer(name).get_weights() if name in {layer.name for layer in shipped.layers} else []
    if len(held) != 2:
        raise _misfit(name)
    kernel, bias = held[0].copy(), held[1]
    if record.identity and kernel.shape[2] == kernel.shape[3]:
        kernel[record.tap, record.tap] -= np.eye(kernel.shape[2], dtype=kernel.dtype)
    if record.mirror:
        kernel, bias = _learned_half(kernel, bias, record, name)
    if kernel.shape != tuple(conv.kernel.shape):
        raise _misfit(name)
    conv.set_weights([kernel])
    nothing, one = np.zeros_like(bias), np.ones_like(bias)
    norm.set_weights([one, bias, nothing, one - norm.epsilon])
    if record.pointwise:
        network.get_layer(f"{name}_point_norm").set_weights([nothing, nothing, nothing, one])
    return np.asarray(bias, np.float32)


def _learned_half(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], record: ConvRecord, name: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    half = kernel.shape[-1] // 2
    whole = with_mirror_images(kernel[..., :half], of_pairs=record.mirror == "pairs", ops=np)
    # Eight bits round a filter and its mirror image alike; anything further off was trained without.
    pairs = whole.shape == kernel.shape and np.allclose(whole, kernel, atol=1e-4 * np.abs(kernel).max())
    if not pairs or not np.allclose(bias[:half], bias[half:], atol=1e-4 * np.abs(bias).max()):
        raise UsageError(
            f"train.start_from names a network without mirror images (layer {name})",
            remedy="leave the network option `mirror` out, or start anew",
        )
    return kernel[..., :half], bias[:half]


def _convolutions(records: dict[str, ConvRecord]) -> list[str]:
    points = [f"{name}_point" for name, record in records.items() if record.pointwise]
    return [f"{name}_conv" for name in records] + points


def _statistics(
    network: Any, convolutions: list[str], images: NDArray[np.uint8]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Mean and variance of each convolution's output per channel."""
    if not convolutions:
        return {}
    watched = keras.Model(network.inputs[0], [network.get_layer(name).output for name in convolutions])
    chosen = images[np.random.default_rng(0).permutation(len(images))[:MEASURED_PICTURES]]
    count, sums, squares = 0, [0.0] * len(convolutions), [0.0] * len(convolutions)
    for start in range(0, len(chosen), BATCH):
        pixels = chosen[start : start + BATCH].astype(np.float32)
        for index, output in enumerate(watched(pixels, training=False)):
            values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")), np.float64)
            sums[index] += values.mean(axis=(1, 2)).sum(axis=0)
            squares[index] += (values**2).mean(axis=(1, 2)).sum(axis=0)
        count += len(pixels)
    found = {}
    for name, total, square in zip(convolutions, sums, squares, strict=True):
        mean, power = np.asarray(total) / count, np.asarray(square) / count
        if isinstance(network.get_layer(name), MirrorConv):  # a filter and its mirror image share their statistics
            mean, power = (values.reshape(2, -1).mean(axis=0) for values in (mean, power))
        found[name] = (mean.astype(np.float32), np.maximum(power - mean**2, 0).astype(np.float32))
    return found


def _misfit(layer: str) -> UsageError:
    return UsageError(
        f"train.start_from names another network than train.network and its options do: layer {layer} does not fit",
        remedy="name the network that it was trained as",
    )
