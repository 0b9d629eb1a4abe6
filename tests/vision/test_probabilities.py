"""What an answer must be to count: finite, within 0..1, and summing to 1 as far as rounding allows."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.manifest import ModelManifest, Output
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier
from edge_vision.probabilities import SLACK, ModelFailedError, probabilities, tolerance
from tests.conftest import REPOSITORY

SHIPPED = read_file(REPOSITORY / "models" / "emotion-5.ewm").manifest
QUANTIZED = (Output(dtype="uint8", scale=1 / 256, zero_point=0), Output(dtype="int8", scale=1 / 256, zero_point=-128))
FLOAT = Output(dtype="float32")


def manifest_of(labels: int, output: Output) -> ModelManifest:
    return msgspec.structs.replace(SHIPPED, labels=tuple(f"label {n}" for n in range(labels)), output=output)


def softmax(labels: int, seed: int, spread: float) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, spread, labels)
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum())


@given(
    labels=st.integers(2, 300), seed=st.integers(0, 2**32), spread=st.floats(0, 30), output=st.sampled_from(QUANTIZED)
)
def test_a_softmax_rounded_to_eight_bits_is_an_answer_whatever_the_number_of_classes(
    labels: int, seed: int, spread: float, output: Output
) -> None:
    exact = softmax(labels, seed, spread)
    low, high = (0, 255) if output.dtype == "uint8" else (-128, 127)
    stored = np.clip(np.rint(exact / output.scale) + output.zero_point, low, high).astype(output.dtype)
    found = probabilities(stored, manifest_of(labels, output))
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() <= output.scale * 1.001


@given(
    dtype=st.sampled_from(["uint8", "int8"]),
    scale=st.floats(2**-9, 2**-5, width=32),
    zero_point=st.integers(-128, 255),
    first=st.integers(0, 255),
)
def test_a_byte_is_worth_what_the_manifests_arithmetic_says_to_the_bit_or_is_refused(
    dtype: str, scale: float, zero_point: int, first: int
) -> None:
    manifest = manifest_of(2, Output(dtype=dtype, scale=scale, zero_point=zero_point))  # type: ignore[arg-type]
    values = np.arange(256, dtype=np.uint8).view(dtype)
    for answer in (np.array([values[first], value]) for value in values):
        real = (answer.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        outside = real.min() < -SLACK or real.max() > 1 + SLACK
        if outside or abs(float(real.sum(dtype=np.float64)) - 1) > tolerance(manifest):
            with pytest.raises(ModelFailedError, match="no probabilities" if outside else "sum to"):
                probabilities(answer, manifest)
        else:
            assert probabilities(answer, manifest).tobytes() == np.clip(real, 0, 1).tobytes()


@given(
    labels=st.integers(2, 300),
    seed=st.integers(0, 2**32),
    place=st.integers(0, 299),
    wrong=st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_one_value_that_is_no_number_is_the_models_failure(labels: int, seed: int, place: int, wrong: float) -> None:
    answer = softmax(labels, seed, 2).astype(np.float32)
    answer[place % labels] = wrong
    with pytest.raises(ModelFailedError, match="emotion 5 answered what is no number"):
        probabilities(answer, manifest_of(labels, FLOAT))


@given(labels=st.integers(2, 300), seed=st.integers(0, 2**32), factor=st.floats(0, 3))
def test_a_sum_that_is_not_one_is_the_models_failure(labels: int, seed: int, factor: float) -> None:
    answer = (softmax(labels, seed, 0.1) * factor).astype(np.float32)
    if abs(factor - 1) <= SLACK / 2:
        probabilities(answer, manifest_of(labels, FLOAT))
    elif abs(factor - 1) > SLACK + 1e-4:
        with pytest.raises(ModelFailedError, match=r"sum to|no probabilities"):
            probabilities(answer, manifest_of(labels, FLOAT))


@pytest.mark.parametrize("answer", [[1.5, -0.5], [-0.2, 1.2], [2.0, 0.0], [-1.0, 2.0]])
def test_values_outside_0_to_1_are_no_probabilities_even_where_they_sum_to_one(answer: list[float]) -> None:
    with pytest.raises(ModelFailedError, match="which are no probabilities"):
        probabilities(np.array(answer, np.float32), manifest_of(2, FLOAT))


def test_of_many_answers_one_bad_one_is_named() -> None:
    answers = np.full((5, 2), 0.5, np.float32)
    answers[3] = 0.25
    with pytest.raises(ModelFailedError, match=r"sum to 0\.5 and not to 1"):
        probabilities(answers, manifest_of(2, FLOAT))


def test_quantized_answers_of_half_the_sum_are_refused_for_as_many_labels_as_can_be_told() -> None:
    output = QUANTIZED[0]
    for labels in (2, 7, 50):
        half = np.rint(np.full(labels, 0.5 / labels) / output.scale).astype(np.uint8)
        with pytest.raises(ModelFailedError, match="sum to"):
            probabilities(half, manifest_of(labels, output))


@pytest.mark.parametrize("name", ["emotion-1", "emotion-5"])
def test_the_shipped_models_stay_within_half_of_the_tolerance(name: str) -> None:
    package = read_file(REPOSITORY / "models" / f"{name}.ewm")
    classifier = Classifier(package.model, package.manifest)
    rng = np.random.default_rng(4)
    for kind in range(300):
        noise = rng.integers(0, 256, classifier.input.shape, np.uint8)
        classifier.input[...] = (noise, noise // 200 * 255, rng.integers(0, 256))[kind % 3]
        assert abs(float(classifier.classify(classifier.input).sum()) - 1) <= tolerance(package.manifest) / 2


@pytest.mark.parametrize(
    ("name", "reason"), [("nan-1", "no number"), ("short-1", r"sum to 0\.5"), ("long-1", "no probabilities")]
)
def test_a_model_that_breaks_on_bright_pictures_only_fails_on_those_and_answers_the_others(
    name: str, reason: str
) -> None:
    package: ModelPackage = read_file(REPOSITORY / "tests" / "fixtures" / f"{name}.ewm")
    classifier = Classifier(package.model, package.manifest)
    classifier.input[...] = 60
    assert classifier.classify(classifier.input).argmax() == 0
    classifier.input[...] = 255
    with pytest.raises(ModelFailedError, match=reason):
        classifier.classify(classifier.input)
