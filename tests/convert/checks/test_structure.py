"""The list of operators that every device runs, held against the oldest runtime itself."""

from typing import Any

import msgspec
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.artifacts import Converted
from convert.checks import structure
from convert.tflite import runtimes
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
    names = {operator.name for operator in parse(converted.int8_model).operators}
    assert {"CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "QUANTIZE", "RESHAPE", "SOFTMAX"} <= names
    for name in names:
        limit = structure.OPERATORS[name]
        for version, runs in ((limit, True), (limit + 1, False)):
            model = edited(converted.int8_model, lambda tree, to=(name, version): set_version(tree, *to))
            manifest = msgspec.structs.replace(converted.candidate, digest=digest_of(model), size=len(model))
            answer = runtimes.ask(runtimes.TFLITE_RUNTIME, model, manifest, data.images[:1], delegates=False)
            assert (answer.outputs is not None) is runs, (name, version, answer.failure)


def set_version(tree: Any, name: str, version: int) -> None:
    for code in tree.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == getattr(schema.BuiltinOperator, name):
            code.version = version


def test_an_operator_outside_the_list_and_a_version_above_it_are_named(converted: Converted) -> None:
    def change(tree: Any) -> None:
        set_version(tree, "CONV_2D", 8)
        for code in tree.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
                code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TANH

    graph = parse(edited(converted.int8_model, change))
    assert structure.foreign_operators(graph) == ["CONV_2D v8", "TANH v2"]
    assert structure.foreign_operators(parse(converted.int8_model)) == []


def test_an_input_of_another_size_is_an_open_shape(converted: Converted) -> None:
    graph = parse(converted.int8_model)
    assert structure.open_shapes(graph, ImageInput(height=48, width=48, color="gray")) == []
    assert structure.open_shapes(graph, ImageInput(height=64, width=48, color="gray"))
