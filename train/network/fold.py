"""From the form that trains to the form that ships: every branch and normalisation folded into one convolution."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.network.architectures import NetworkConfig
from train.network.build import build_deployed
from train.network.builder import Builder, ConvRecord
from train.network.mirror import with_mirror_images


def deploy(trained: Any, builder: Builder, config: NetworkConfig, *, name: str = "network") -> Any:
    """Fold a trained network's branches and normalisations into the shipped form."""
    shape = tuple(trained.inputs[0].shape[1:])
    classes = trained.get_layer("head").units
    deployed = build_deployed(config, shape, classes, name=name)
    for layer in deployed.layers:
        if layer.name in builder.records:
            layer.set_weights(fold(trained, layer.name, builder.records[layer.name]))
        elif layer.weights:
            layer.set_weights(_repeated(trained.get_layer(layer.name).get_weights(), layer))
    return deployed


def fold(trained: Any, name: str, record: ConvRecord) -> list[NDArray[np.float32]]:
    """Kernel [k,k,in,out] and bias [out] of the one convolution that equals a trained block (in inference)."""
    if not record.normalised:
        weights: list[NDArray[np.float32]] = trained.get_layer(name).get_weights()
        return weights
    kernel, bias = _fold_norm(trained.get_layer(f"{name}_conv"), trained.get_layer(f"{name}_norm"))
    if record.mirror:
        kernel = with_mirror_images(kernel, of_pairs=record.mirror == "pairs", ops=np)
        bias = np.tile(bias, 2)
    if record.pointwise:
        point, point_bias = _fold_norm(trained.get_layer(f"{name}_point"), trained.get_layer(f"{name}_point_norm"))
        kernel[record.tap, record.tap] += point[0, 0]
        bias = bias + point_bias
    if record.identity:
        kernel[record.tap, record.tap] += np.eye(kernel.shape[2])
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _repeated(weights: list[NDArray[np.float32]], layer: Any) -> list[NDArray[np.float32]]:
    """A head that saw the mean of pairs of maps sees both, each with half of the weight."""
    times = layer.weights[0].shape[0] // weights[0].shape[0]
    return weights if times == 1 else [np.tile(weights[0], (times, 1)) / times, *weights[1:]]


def _fold_norm(conv: Any, norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in norm.get_weights())
    gain = gamma / np.sqrt(variance + norm.epsilon)
    return np.asarray(conv.get_weights()[0], np.float64) * gain, beta - mean * gain
