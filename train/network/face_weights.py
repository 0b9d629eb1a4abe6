"""Weights of face networks, from the names and forms they were published in to those of `architectures`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Mean pixel of the three channels that dlib subtracts before it divides by 256.
DLIB_MEAN, DLIB_SCALE = np.array([122.782, 117.001, 104.298]), 256.0
DLIB_STAGES = ("32", "64", "128", "256", "256_down_out")
# Mean pixel, blue first, that the face attributes network subtracts.
MOBILE_MEAN = np.array([103.939, 116.779, 123.68])

Array = NDArray[np.float32]


def fill_residual(network: Any, tensors: dict[str, Array]) -> None:
    """Give a `face_residual` in shipped form the package's weights; its head keeps its own."""
    kernel, bias = _folded(tensors, "conv32_down")
    grey = kernel.sum(axis=2, keepdims=True)
    # The network's own rescaling gives (pixel - 127.5) / 127.5; dlib's gave (pixel - mean) / 256.
    offset = np.einsum("hwco,c->o", kernel, (127.5 - DLIB_MEAN) / DLIB_SCALE)
    network.get_layer("stem").set_weights([grey * (127.5 / DLIB_SCALE), bias + offset])
    for name, source in _blocks(network):
        network.get_layer(f"{name}a").set_weights(_folded(tensors, f"{source}/conv1"))
        network.get_layer(f"{name}c").set_weights(_folded(tensors, f"{source}/conv2"))
        if any(layer.name == f"{name}skip" for layer in network.layers):
            held, bias = network.get_layer(f"{name}skip").get_weights()
            # dlib appends channels of zeros; here the appended channels can learn.
            network.get_layer(f"{name}skip").set_weights([np.eye(*held.shape[2:])[None, None], np.zeros_like(bias)])


def _blocks(network: Any) -> list[tuple[str, str]]:
    """Names of the residual blocks: in the network, and in the package."""
    names = [layer.name.removesuffix("out") for layer in network.layers if layer.name.endswith("out")]
    pairs = []
    for name in names:
        stage, block = int(name[1]), int(name[3:])
        width = DLIB_STAGES[stage - 1]
        if stage == len(DLIB_STAGES):
            source = f"conv{width}"
        elif stage == 1:
            source = f"conv{width}_{block + 1}"
        else:
            source = f"conv{width}_{block}" if block else f"conv{width}_down"
        pairs.append((name, source))
    return pairs


def _folded(tensors: dict[str, Array], name: str) -> list[Array]:
    """Kernel and bias of a convolution that is followed by a factor and an offset for each channel."""
    factor = tensors[f"{name}/scale/weights"]
    return [
        tensors[f"{name}/conv/filters"] * factor,
        tensors[f"{name}/conv/bias"] * factor + tensors[f"{name}/scale/biases"],
    ]


def fill_mobile(network: Any, tensors: dict[str, Array]) -> None:
    """Give a `face_mobile` in shipped form the face attributes network's weights; its head keeps its own."""
    kernel, bias = tensors["conv1/convolution/merged_input"], tensors["conv1_bn/batchnorm_1/sub"]
    offset = np.einsum("hwco,c->o", kernel, 127.5 - MOBILE_MEAN)
    network.get_layer("stem").set_weights([kernel.sum(axis=2, keepdims=True) * 127.5, bias + offset])
    block = 1
    while f"conv_dw_{block}/depthwise_kernel" in tensors:
        depthwise, factor, bias = (
            tensors[f"conv_dw_{block}{part}"]
            for part in ("/depthwise_kernel", "_bn/batchnorm_1/mul", "_bn/batchnorm_1/sub")
        )
        network.get_layer(f"b{block}depth").set_weights([depthwise * factor[:, None], bias])
        network.get_layer(f"b{block}point").set_weights(
            [tensors[f"conv_pw_{block}/convolution/merged_input"], tensors[f"conv_pw_{block}_bn/batchnorm_1/sub"]]
        )
        block += 1
