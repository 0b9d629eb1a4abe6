"""The list of operators that every device runs, held against the oldest runtime itself."""

from typing import Any

import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.artifacts import Converted
from convert.checks import structure
from convert.tflite import conversion, runtimes
from convert.tflite.flatbuffer import parse
from edge_contract.manifest import ImageInput, digest_of
from tests.convert.damage import edited
from train.data.dataset import Dataset

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_oldest_runtime_takes_each_operator_up_to_the_listed_version_and_no_further(
    converted: Converted, trained: Any
) -> None:
    if not runtimes.TFLITE_RUNTIME.present:
        pytest.skip("the environment .venv-tflite is absent (make setup-tflite)")
    data: Dataset = trained.data
    names: set[str] = set()
    for whole in (converted.int8_model, of_many_operators(data)):
        operators = {operator.name for operator in parse(whole).operators} - names
        names |= operators
        for name in operators:
            limit = structure.OPERATORS[name]
            for version, runs in ((limit, True), (limit + 1, False)):
                model = edited(whole, lambda tree, to=(name, version): set_version(tree, *to))
                manifest = msgspec.structs.replace(converted.candidate, digest=digest_of(model), size=len(model))
                answer = runtimes.ask(runtimes.TFLITE_RUNTIME, model, manifest, data.images[:1], delegates=(False,))
                assert (answer.outputs is not None) is runs, (name, version, answer.failure)
    assert {"CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "QUANTIZE", "RESHAPE", "SOFTMAX"} | OFTEN_USED <= names


OFTEN_USED = {"SUB", "LEAKY_RELU", "PRELU", "HARD_SWISH", "REDUCE_MAX", "TRANSPOSE_CONV", "TANH", "GELU", "MIRROR_PAD",
              "RESIZE_BILINEAR", "TRANSPOSE", "STRIDED_SLICE", "MAXIMUM", "MINIMUM", "SPLIT", "ABS", "SUM"}  # fmt: skip


def of_many_operators(data: Dataset) -> bytes:
    """A small int8 model of operators that networks of others are made of."""
    import keras  # noqa: PLC0415

    layers, ops = keras.layers, keras.ops
    keras.utils.set_random_seed(1)

    def after(activation: Any) -> Any:
        return activation(layers.Conv2D(4, 1)(x))

    pixels = keras.Input((48, 48, 1), dtype="uint8")
    x = layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(layers.Rescaling(1 / 127.5, -1.0)(pixels))
    x = layers.Subtract()([layers.LeakyReLU()(x), after(layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones"))])
    x = layers.Maximum()([after(layers.Activation("hard_swish")), after(layers.Activation("tanh"))])
    x = layers.Minimum()([x, after(layers.Activation("gelu"))])
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = layers.Cropping2D(1)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    x = ops.abs(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"))
    x = layers.Add()(list(ops.split(x, 2, axis=-1)))
    x = layers.Permute((3, 1, 2))(x)
    x = layers.Concatenate()([ops.max(x, axis=(2, 3)), ops.sum(x, axis=(2, 3))])
    network = keras.Model(pixels, layers.Dense(len(data.label_names), activation="softmax")(x))
    return conversion.to_int8(network, data.images[:100])


def test_what_networks_of_others_are_made_of_runs_on_both_runtimes_alike(trained: Any, converted: Converted) -> None:
    data: Dataset = trained.data
    model = of_many_operators(data)
    assert {operator.name for operator in parse(model).operators} >= OFTEN_USED
    assert structure.foreign_operators(parse(model)) == structure.float_tensors(parse(model)) == []
    if not runtimes.TFLITE_RUNTIME.present:
        pytest.skip("the environment .venv-tflite is absent (make setup-tflite)")
    manifest = msgspec.structs.replace(converted.candidate, digest=digest_of(model), size=len(model))
    images = data.images[:50]
    ours, theirs = (runtimes.ask(one, model, manifest, images, delegates=(False,)) for one in runtimes.MATRIX)
    assert ours.outputs is not None
    assert theirs.outputs is not None, theirs.failure
    assert np.array_equal(ours.outputs, theirs.outputs)


def set_version(tree: Any, name: str, version: int) -> None:
    for code in tree.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == getattr(schema.BuiltinOperator, name):
            code.version = version


def test_an_operator_outside_the_list_and_a_version_above_it_are_named(converted: Converted) -> None:
    def change(tree: Any) -> None:
        set_version(tree, "CONV_2D", 8)
        for code in tree.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
                code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ELU

    graph = parse(edited(converted.int8_model, change))
    assert structure.foreign_operators(graph) == ["CONV_2D v8", "ELU v2"]
    assert structure.foreign_operators(parse(converted.int8_model)) == []


def test_an_input_of_another_size_is_an_open_shape(converted: Converted) -> None:
    graph = parse(converted.int8_model)
    assert structure.open_shapes(graph, ImageInput(height=48, width=48, color="gray")) == []
    assert structure.open_shapes(graph, ImageInput(height=64, width=48, color="gray"))
