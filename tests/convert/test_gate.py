"""Each way a converted model is known to be broken, made for real and refused with its own reason."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert import gate
from convert.artifacts import Converted
from convert.settings import GateSettings
from convert.tflite import conversion, runtimes
from convert.tflite.candidate import describe
from edge_contract.errors import UsageError
from edge_contract.manifest import Budget, FaceCrop, ImageInput, digest_of
from tests.convert.damage import edited, flip_weight
from tests.convert.shapes import Trained, network
from train.data.dataset import Dataset

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine

LITERT_ONLY = GateSettings(required_runtimes=("litert",), timed=20)
EVERYWHERE = GateSettings(timed=20)


def reasons(converted: Converted, data: Dataset, settings: GateSettings = LITERT_ONLY, **more: Any) -> list[str]:
    """The gate's reasons, shortened to the word that names each; the runtimes asked are those that must be."""
    if settings is LITERT_ONLY:
        more.setdefault("matrix", (runtimes.LITERT,))
    result = gate.judge(converted, data, settings, synthetic=False, **more).result
    assert result.passed == (not result.reasons)
    return [reason.partition(":")[0] for reason in result.reasons]


def with_model(converted: Converted, model: bytes, *, goldens: bool = True) -> Converted:
    """The conversion as if its int8 file had come out as `model`, honestly described and recorded."""
    data = Dataset(*_nothing(converted))
    candidate = converted.candidate
    if goldens:
        candidate = describe(model, candidate.labels, data.images, candidate.crop, candidate.budget)
    candidate = msgspec.structs.replace(candidate, digest=digest_of(model), size=len(model))
    record = msgspec.structs.replace(converted.record, int8_digest=digest_of(model), int8_size=len(model))
    return replace(converted, int8_model=model, candidate=candidate, record=record)


def _nothing(converted: Converted) -> Any:
    shape = converted.candidate.input.shape[1:]
    none = np.zeros((1, 0), np.uint8)
    return np.zeros((1, *shape), np.uint8), np.zeros(1, np.uint8), np.zeros(1, np.uint8), (), none, (), ""


def test_a_sound_model_passes_on_every_runtime(converted: Converted, trained: Trained) -> None:
    if not runtimes.TFLITE_RUNTIME.present:
        pytest.skip("the environment .venv-tflite is absent (make setup-tflite)")
    assert reasons(converted, trained.data, EVERYWHERE) == []


def test_an_absent_runtime_is_a_refusal_where_it_is_required(
    converted: Converted, trained: Trained, tmp_path: Path
) -> None:
    absent = (runtimes.LITERT, runtimes.Runtime("tflite-runtime", tmp_path / "python"))
    assert reasons(converted, trained.data, EVERYWHERE, matrix=absent) == ["goldens"]
    assert reasons(converted, trained.data, LITERT_ONLY, matrix=absent) == []


def test_a_graph_without_the_division_by_255_is_refused(converted: Converted, trained: Trained) -> None:
    import keras  # noqa: PLC0415

    bare = network(keras, rescaling=False)
    bare.set_weights(trained.network.get_weights())
    model = conversion.to_int8(bare, trained.data.images[:100])
    found = reasons(with_model(converted, model), trained.data)
    assert {"accuracy drop", "agreement", "weights"} <= set(found)


def test_a_network_whose_training_divided_outside_the_graph_is_refused(converted: Converted, trained: Trained) -> None:
    """Then even the float reference is wrong; only what training reported tells."""
    import keras  # noqa: PLC0415

    bare = network(keras, rescaling=False)
    bare.set_weights(trained.network.get_weights())
    model = conversion.to_int8(bare, trained.data.images[:100])
    wrong = with_model(converted, model)
    test = trained.data.images[trained.data.split_indices("test")].astype(np.float32)
    wrong = replace(wrong, reference={"test": conversion.predict(bare, test)})
    assert "training gap" in reasons(wrong, trained.data, trained_accuracy=0.96)


def test_a_model_whose_answers_are_no_probabilities_is_refused(converted: Converted, trained: Trained) -> None:
    import keras  # noqa: PLC0415

    half = keras.Sequential([trained.network, keras.layers.Rescaling(0.5)])
    model = conversion.to_int8(half, trained.data.images[:100])
    assert "runs" in reasons(with_model(converted, model), trained.data)


def test_a_manifest_that_promises_rgb_for_a_gray_model_is_refused(converted: Converted, trained: Trained) -> None:
    rgb = msgspec.structs.replace(converted.candidate, input=ImageInput(height=48, width=48, color="rgb"))
    assert "input" in reasons(replace(converted, candidate=rgb), trained.data)


def test_a_colour_model_for_gray_data_is_refused(converted: Converted, trained: Trained) -> None:
    import keras  # noqa: PLC0415

    colour = network(keras, channels=3)
    images = np.repeat(trained.data.images[:100], 3, axis=3)
    model = conversion.to_int8(colour, images)
    manifest = describe(model, converted.candidate.labels, images, FaceCrop(), Budget())
    wrong = replace(with_model(converted, model, goldens=False), candidate=manifest)
    assert "input" in reasons(wrong, trained.data)


@pytest.mark.parametrize(
    "shuffle",
    [
        pytest.param(lambda names: (names[1], names[0], *names[2:]), id="two labels swapped"),
        pytest.param(lambda names: tuple(sorted(names)), id="alphabetical order"),
    ],
)
def test_labels_in_another_order_are_refused(
    converted: Converted, trained: Trained, shuffle: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> None:
    candidate = msgspec.structs.replace(converted.candidate, labels=shuffle(converted.candidate.labels))
    found = reasons(replace(converted, candidate=candidate), trained.data)
    assert {"labels", "recall drop", "label order"} <= set(found)


def test_a_data_set_in_another_order_than_training_s_is_refused(converted: Converted, trained: Trained) -> None:
    """Manifest and data agree and both are wrong: only the answers tell."""
    names = trained.data.label_names
    swapped = (names[1], names[0], *names[2:])
    data = replace(trained.data, label_names=tuple(sorted(swapped)), labels=_relabelled(trained.data, sorted(swapped)))
    candidate = msgspec.structs.replace(converted.candidate, labels=data.label_names)
    assert "label order" in reasons(replace(converted, candidate=candidate), data)


def _relabelled(data: Dataset, names: list[str]) -> NDArray[np.uint8]:
    """The same faces under the same names, numbered by the order of `names`."""
    return np.array([names.index(name) for name in data.label_names], np.uint8)[data.labels]


def test_a_manifest_with_another_resize_method_than_training_s_is_refused(
    converted: Converted, trained: Trained
) -> None:
    """Enlarged by a whole factor it goes unseen; from files as people have them it does not."""
    image = msgspec.structs.replace(converted.candidate.input, resize="bilinear")
    candidate = msgspec.structs.replace(converted.candidate, input=image)
    assert reasons(replace(converted, candidate=candidate), trained.data) == ["skew"]


def test_calibration_on_noise_is_refused(converted: Converted, trained: Trained) -> None:
    """Faint noise around grey: the ranges it sets clip every real picture."""
    noise = np.random.default_rng(1).integers(124, 132, (50, 48, 48, 1), dtype=np.uint8)
    model = conversion.to_int8(trained.network, noise)
    found = reasons(with_model(converted, model), trained.data)
    assert {"accuracy drop", "agreement"} & set(found)


def test_a_file_that_lost_its_weights_is_refused(converted: Converted, trained: Trained) -> None:
    """What `from_concrete_functions([fn], keras3_network)` writes: a graph that reads variables never set."""
    import tensorflow as tf  # noqa: PLC0415

    function = tf.function(trained.network).get_concrete_function(tf.TensorSpec((1, 48, 48, 1), tf.uint8))
    model = tf.lite.TFLiteConverter.from_concrete_functions([function], trained.network).convert()
    if len(model) > 20_000:
        pytest.skip("this TensorFlow keeps the weights")
    found = reasons(with_model(converted, model, goldens=False), trained.data)
    assert "weights" in found


def test_a_dynamic_batch_is_refused(converted: Converted, trained: Trained) -> None:
    def open_batch(tree: Any) -> None:
        for tensor in tree.subgraphs[0].tensors:
            if tensor.shape is not None and len(tensor.shape) == 4 and tensor.shape[0] == 1:
                tensor.shapeSignature = [-1, *tensor.shape[1:]]

    assert reasons(with_model(converted, edited(converted.int8_model, open_batch)), trained.data) == ["static shapes"]


def test_a_truncated_file_is_refused_whatever_the_manifest_says(converted: Converted, trained: Trained) -> None:
    cut = converted.int8_model[: len(converted.int8_model) // 2]
    assert reasons(replace(converted, int8_model=cut), trained.data)[0] == "digest"
    assert reasons(with_model(converted, cut, goldens=False), trained.data) == ["readable"]


def test_one_flipped_weight_byte_is_refused_by_digest_and_by_value(converted: Converted, trained: Trained) -> None:
    flipped = flip_weight(converted.int8_model)
    assert "digest" in reasons(replace(converted, int8_model=flipped), trained.data)
    # Even with digest, goldens and record written anew for the damaged file:
    assert "weights" in reasons(with_model(converted, flipped), trained.data)


def test_dynamic_range_that_the_oldest_runtime_cannot_run_is_refused(converted: Converted, trained: Trained) -> None:
    if not runtimes.TFLITE_RUNTIME.present:
        pytest.skip("the environment .venv-tflite is absent (make setup-tflite)")
    model = conversion.to_dynamic_range(trained.network)
    found = reasons(with_model(converted, model), trained.data, EVERYWHERE)
    assert {"operators", "goldens", "whole numbers"} <= set(found)


def test_a_graph_that_answers_garbage_on_one_runtime_is_refused(converted: Converted, trained: Trained) -> None:
    """The dynamic-range file again, its versions lowered: 2.14 now loads it, and computes something else."""
    if not runtimes.TFLITE_RUNTIME.present:
        pytest.skip("the environment .venv-tflite is absent (make setup-tflite)")

    def lower(tree: Any) -> None:
        for code in tree.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
                code.version = 9

    model = edited(conversion.to_dynamic_range(trained.network), lower)
    settings = msgspec.structs.replace(EVERYWHERE, largest_file=10**7)
    result = gate.judge(with_model(converted, model), trained.data, settings, synthetic=False).result
    worst = result.checks["goldens_tflite-runtime_exact"]
    assert isinstance(worst, int | float)
    assert worst > 1
    assert any("tflite-runtime 2.14.0" in reason for reason in result.reasons)


@pytest.mark.parametrize("field", ["digest", "size"])
def test_a_manifest_of_another_model_is_refused(converted: Converted, trained: Trained, field: str) -> None:
    other = {"digest": "0" * 64, "size": converted.candidate.size + 1}[field]
    candidate = msgspec.structs.replace(converted.candidate, **{field: other})
    assert reasons(replace(converted, candidate=candidate), trained.data) == ["digest"]


def test_goldens_of_another_model_are_refused(converted: Converted, trained: Trained) -> None:
    wrong = tuple(msgspec.structs.replace(one, output=one.output[::-1]) for one in converted.candidate.goldens)
    candidate = msgspec.structs.replace(converted.candidate, goldens=wrong)
    assert "goldens" in reasons(replace(converted, candidate=candidate), trained.data)


def test_a_file_over_the_size_limit_is_refused(converted: Converted, trained: Trained) -> None:
    settings = msgspec.structs.replace(LITERT_ONLY, largest_file=1000)
    assert reasons(converted, trained.data, settings) == ["size"]


def test_a_budget_of_memory_or_time_that_does_not_hold_is_refused(converted: Converted, trained: Trained) -> None:
    candidate = msgspec.structs.replace(converted.candidate, budget=Budget(latency=1e-9, memory=1))
    assert set(reasons(replace(converted, candidate=candidate), trained.data)) == {"latency", "memory"}


def test_another_data_set_than_the_conversion_s_is_refused_as_usage(converted: Converted, trained: Trained) -> None:
    with pytest.raises(UsageError, match="another data set"):
        reasons(converted, replace(trained.data, source_digest="other"))


def test_the_training_gap_is_measured_from_the_result_and_not_from_the_last_epoch(tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    history.write_text('[{"selection_accuracy": 0.5}, {"selection_accuracy": 0.6}]')
    assert gate.selection_accuracy(history, "this one") == 0.6  # of a version that noted no result
    (tmp_path / "result.json").write_text('{"network": "this one", "selection_accuracy": 0.9}')
    assert gate.selection_accuracy(history, "this one") == 0.9
    assert gate.selection_accuracy(history, "another one") is None
    (tmp_path / "result.json").write_text("[]")
    assert gate.selection_accuracy(history, "this one") is None


def test_a_label_without_test_pictures_is_refused_by_name(converted: Converted, trained: Trained) -> None:
    data = trained.data
    moved = data.split.copy()
    moved[(data.labels == 2) & (data.split == 2)] = 0
    kept = moved[data.split_indices("test")] == 2
    less = replace(converted, reference={"test": converted.reference["test"][kept]})
    result = gate.judge(less, replace(data, split=moved), LITERT_ONLY, synthetic=False).result
    assert [reason for reason in result.reasons if "fear" in reason] == [
        "test: no image shows fear: what the model knows of that is not known."
    ]
