"""The list of operators that every device runs, held against the oldest runtime itself."""

from typing import Any

import msgspec
import pytest
from ai_edge_litert import schema_py_generated as schema

from convert.artifacts import Converted
from convert.checks import structure
from convert.tflite import flatbuffer, runtimes
from convert.tflite.flatbuffer import parse
from edge_contract.errors import UsageError
from edge_contract.manifest import ImageInput, digest_of
from tests.convert.test_faults import edited
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


def test_multiply_accumulates_are_counted_by_hand(converted: Converted) -> None:
    # 48 -> 24 -> 12 -> 6 by strides, 3x3 kernels over 1, 8, 16 channels; pooled to 3x3x32; dense 288x32 and 32x7.
    by_hand = 24 * 24 * 8 * 9 * 1 + 12 * 12 * 16 * 9 * 8 + 6 * 6 * 32 * 9 * 16 + 288 * 32 + 32 * 7
    assert parse(converted.int8_model).macs == parse(converted.float_model).macs == by_hand


def test_an_input_of_another_size_is_an_open_shape(converted: Converted) -> None:
    graph = parse(converted.int8_model)
    assert structure.open_shapes(graph, ImageInput(height=48, width=48, color="gray")) == []
    assert structure.open_shapes(graph, ImageInput(height=64, width=48, color="gray"))


@pytest.mark.parametrize("cut", [0, 3, 8, 64, 1000, -1000, -40])
def test_a_cut_file_is_one_sentence_never_a_crash(converted: Converted, cut: int) -> None:
    with pytest.raises(UsageError, match=r"TFLite file.*convert"):
        flatbuffer.parse(converted.int8_model[:cut], "x.tflite")
