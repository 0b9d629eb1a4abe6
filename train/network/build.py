"""Networks from their configs (`architectures`), built twice: to train and to ship.

`build_training` takes float pixels 0..255 and gives logits; its convolutions may have parallel branches with batch
normalisation (re-parameterisation: Ding et al. 2021, RepVGG). `build_deployed` has one plain convolution in place of
each: uint8 pixels in, rescaling inside, probabilities out; `fold` brings the weights from the one to the other.
Data, losses and loops are elsewhere.
"""

import dataclasses
from pathlib import Path
from typing import Any, Final

import keras
import msgspec
import numpy as np

from edge_contract.durable import move
from edge_contract.errors import UsageError
from edge_contract.rule_words import broken_rule
from train.network.architectures import NETWORKS, NetworkConfig
from train.network.builder import Builder
from train.network.layers import Conv
from train.params import nearest

LARGEST_SIZE: Final = 65536
"""Filters, blocks or units of one layer."""


def network_config(name: str, options: dict[str, Any] | None = None) -> NetworkConfig:
    """The config called `name` with some of its sizes replaced.

    Raises:
        UsageError: No such network, or no such option of it; the text names the nearest valid one.
    """
    if name not in NETWORKS:
        raise UsageError(f"there is no network `{name}`: {nearest(name, list(NETWORKS))}")
    fields = {field.name for field in dataclasses.fields(NETWORKS[name])}
    for option in options or {}:
        if option not in fields:
            raise UsageError(f"network `{name}` has no option `{option}`: {nearest(option, list(fields))}")
    config: NetworkConfig = _checked(name, options or {})
    widths, depths = getattr(config, "widths", ()), getattr(config, "depths", None)
    if depths is not None and len(widths) != len(depths):
        raise UsageError(
            f"network `{name}` has {len(widths)} `widths` and {len(depths)} `depths`",
            remedy="give network_options as many of one as of the other, one a stage",
        )
    return config


def _checked(name: str, options: dict[str, Any]) -> NetworkConfig:
    """The config, its sizes whole numbers of which a network can be made and its dropouts shares.

    Raises:
        UsageError: a size is not; the text names it.
    """
    try:
        config = msgspec.convert(options, NETWORKS[name])
    except msgspec.ValidationError as error:
        key, rule = broken_rule(error, NETWORKS[name])
        raise UsageError(f"option `{key}` of network `{name}` {rule}", remedy="correct network_options") from error
    for option in options:
        value = getattr(config, option)
        if value == () and option != "halving":
            raise UsageError(f"option `{option}` of network `{name}` must not be empty", remedy="give one a stage")
        for size in value if isinstance(value, tuple) else (value,):
            fits = 0 <= size < 1 if isinstance(size, float) else isinstance(size, bool) or 1 <= size <= LARGEST_SIZE
            if not fits and not (option == "frozen" and size == 0):
                rule = "0 or more and less than 1" if isinstance(size, float) else f"1 to {LARGEST_SIZE}"
                raise UsageError(
                    f"option `{option}` of network `{name}` must be {rule}, not {size}",
                    remedy="correct network_options",
                )
    return config


def build_training(
    config: NetworkConfig, shape: tuple[int, int, int], classes: int, *,
    votes: int = 0, features: int = 0, policy: str = "float32",
) -> tuple[Any, Builder]:  # fmt: skip
    """Float pixels [B,H,W,C] in, float32 logits out: {"labels": [B,classes]} and, with `votes`, {"votes": [B,votes]}.

    With `features`, {"features": [B,features]} predicts the teachers' features. `fold.deploy` keeps only the first.
    """
    builder = Builder(training=True, policy=policy)
    pixels = keras.Input(shape, dtype="float32", name="pixels")
    last = config.layers(builder, pixels)
    # Logits in float32: a softmax over bfloat16's eight bits loses the small probabilities.
    outputs = {"labels": keras.layers.Dense(classes, dtype="float32", name="head")(last)}
    if votes:
        outputs["votes"] = keras.layers.Dense(votes, dtype="float32", name="votes_head")(last)
    if features:
        outputs["features"] = keras.layers.Dense(features, dtype="float32", name="features_head")(last)
    return keras.Model(pixels, outputs, name="training"), builder


def build_deployed(config: NetworkConfig, shape: tuple[int, int, int], classes: int, *, name: str = "network") -> Any:
    """The shipped form with fresh weights: uint8 pixels [B,H,W,C] in, probabilities [B,classes] out."""
    builder = Builder(training=False)
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    features = config.layers(builder, pixels)
    probabilities = keras.layers.Dense(classes, activation="softmax", name="head")(features)
    return keras.Model(pixels, probabilities, name=name)


def build_fast(config: NetworkConfig, shipped: Any, *, policy: str) -> Any:
    """The shipped network's weights on fast layers: for a teacher that answers for many pictures."""
    builder = Builder(training=False, policy=policy, plain=Conv)
    pixels = keras.Input(shipped.inputs[0].shape[1:], dtype="float32", name="pixels")
    features = config.layers(builder, pixels)
    classes = shipped.get_layer("head").units
    model = keras.Model(pixels, keras.layers.Dense(classes, activation="softmax", name="head")(features))
    model.set_weights(shipped.get_weights())
    return model


def save(model: Any, path: Path) -> None:
    """Write a `.keras` file, whole or not at all.

    Raises:
        OSError: the disk is full or broken; what was there still is.
    """
    part = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        model.save(part)
        move(part, path)
    finally:
        part.unlink(missing_ok=True)


def multiply_accumulates(model: Any) -> int:
    """Multiplications with addition that one picture costs in convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        match layer:
            case keras.layers.SeparableConv2D():
                depthwise, pointwise = layer.get_weights()[:2]
                total += _positions(layer) * (depthwise.size + pointwise.size)
            case keras.layers.Conv2D() | keras.layers.DepthwiseConv2D():
                total += _positions(layer) * int(np.prod(layer.kernel.shape))
            case keras.layers.Dense():
                total += int(np.prod(layer.kernel.shape))
    return int(total)


def _positions(layer: Any) -> int:
    return int(np.prod(layer.output.shape[1:3]))
