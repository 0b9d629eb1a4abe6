"""A Keras 3 network as plain data that Keras 2 can rebuild: layers, their inputs, and weights by layer.

Only layers whose meaning is the same in both are carried; what `train` exports is made of these.
"""

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError

_KEPT: Final = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "use_bias", "activation"),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "use_bias", "activation", "depth_multiplier"),
    "Dense": ("units", "use_bias", "activation"),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": ("keepdims",),
    "ReLU": ("max_value",),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "ZeroPadding2D": ("padding",),
    "Flatten": (),
    "Add": (),
    "Concatenate": ("axis",),
}


_NEUTRAL: Final = {
    "dilation_rate": 1, "groups": 1, "data_format": "channels_last", "negative_slope": 0.0, "threshold": 0.0,
    "depth_multiplier": 1,
}  # fmt: skip
"""Settings that are not carried where they say this, and refused where they say otherwise."""


class PlainLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: its class, the settings that matter, and the layers its input comes from."""

    name: str
    kind: str
    settings: dict[str, Any]
    inputs: tuple[str, ...]


class PlainNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """Layers in an order in which inputs come only from earlier ones or the `picture`."""

    shape: tuple[int, int, int]
    zero_point: int
    """The picture is the pixel less this."""
    layers: tuple[PlainLayer, ...]
    output: str


def describe_network(network: Any, zero_point: int) -> tuple[PlainNetwork, dict[str, NDArray[np.float32]]]:
    """A functional Keras 3 network as data, and its weights named `LAYER/NUMBER` in Keras' own order.

    `network` takes `pixel - zero_point`: its rescaling is folded (see `centering`).

    Raises:
        UsageError: it holds a layer that quantization-aware training cannot carry.
    """
    layers: list[PlainLayer] = []
    weights: dict[str, NDArray[np.float32]] = {}
    alias: dict[str, str] = {}  # layers that only pass on their input
    for layer in network.layers:
        kind = type(layer).__name__
        sources = tuple(alias.get(name, name) for name in _inputs(layer))
        if kind == "InputLayer":
            alias[layer.name] = "picture"
        elif (kind == "Activation" and layer.get_config()["activation"] == "linear") or kind == "Dropout":
            alias[layer.name] = sources[0]
        elif kind in _KEPT:
            _refuse_what_is_lost(layer)
            settings = {key: value for key, value in layer.get_config().items() if key in _KEPT[kind]}
            if split := kind == "Dense" and settings["activation"] == "softmax":
                settings["activation"] = "linear"  # the range to learn is that of the logits
            layers.append(PlainLayer(name=layer.name, kind=kind, settings=settings, inputs=sources))
            if split:
                after = f"{layer.name}_softmax"
                softmax = {"activation": "softmax"}
                layers.append(PlainLayer(name=after, kind="Activation", settings=softmax, inputs=(layer.name,)))
                alias[layer.name] = after
            for number, weight in enumerate(layer.get_weights()):
                weights[f"{layer.name}/{number}"] = np.asarray(weight, np.float32)
        else:
            raise UsageError(
                f"quantization-aware training cannot carry the layer {layer.name} ({kind})", remedy="use method ptq"
            )
    if not layers:
        raise UsageError("the network has no layers to train.")
    shape = tuple(int(side) for side in network.input_shape[1:])
    plain = PlainNetwork(
        shape=(shape[0], shape[1], shape[2]),
        zero_point=zero_point,
        layers=tuple(layers),
        output=layers[-1].name,
    )
    return plain, weights


def _refuse_what_is_lost(layer: Any) -> None:
    """Raises UsageError where the layer means more than its kept settings say."""
    kind, config = type(layer).__name__, layer.get_config()
    if len(layer._inbound_nodes) > 1:
        lost = "used more than once"
    else:
        others = [key for key in _NEUTRAL if config.get(key) is not None and key not in _KEPT[kind]]
        changed = [key for key in others if not np.all(np.asarray(config[key]) == np.asarray(_NEUTRAL[key]))]
        lost = f"with {changed[0]}={config[changed[0]]}" if changed else ""
    if lost:
        raise UsageError(
            f"quantization-aware training cannot carry the layer {layer.name} ({kind}) {lost}", remedy="use method ptq"
        )


def _inputs(layer: Any) -> list[str]:
    """Names of the layers whose output this one takes, in order."""
    if not layer._inbound_nodes:
        return []
    return [tensor._keras_history.operation.name for tensor in layer._inbound_nodes[0].input_tensors]
