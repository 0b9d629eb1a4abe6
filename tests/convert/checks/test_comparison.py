"""Paired statistics against hand-counted tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax  # type: ignore[import-untyped]

from convert.checks.comparison import calibration_rise, compare, paired_difference
from train.scoring.scores import expected_calibration_error

Floats = NDArray[np.float64]
LABELS = ["angry", "disgust", "fear"]


def certain(answers: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.eye(len(LABELS))[answers] * 0.9 + 0.1 / 3


def test_equal_answers_differ_by_nothing_and_the_interval_is_not_empty() -> None:
    right = np.ones(100, bool)
    gap = paired_difference(right, right)
    assert gap.value == 0
    assert gap.low < 0 < gap.high


def test_the_interval_shrinks_with_agreement_not_with_accuracy() -> None:
    """Ten images that one alone gets right, of 3,589: known to a quarter of a point, where each accuracy has 1.5."""
    first, second = np.ones(3589, bool), np.ones(3589, bool)
    second[:10] = False
    gap = paired_difference(first, second)
    assert gap.value == pytest.approx(10 / 3589)
    assert gap.high - gap.low < 0.005
    assert gap.low > 0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_interval_holds_the_difference_turns_with_the_order_and_stays_a_difference(
    pairs: list[tuple[bool, bool]],
) -> None:
    first, second = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    gap, turned = paired_difference(first, second), paired_difference(second, first)
    assert gap.value == pytest.approx(-turned.value)
    assert gap.low == pytest.approx(-turned.high)
    assert -1.5 < gap.low <= gap.high < 1.5


def test_swapped_outputs_are_named() -> None:
    truth = np.array([0] * 10 + [1] * 10 + [2] * 10)
    swapped = certain([1] * 10 + [0] * 10 + [2] * 10)
    found = compare(certain(truth.tolist()), swapped, truth, LABELS)
    assert found.relabelling == {"angry": "disgust", "disgust": "angry"}
    assert found.relabelling_gain == pytest.approx(20 / 30)
    assert found.recall_drop["angry"].value == 1
    assert found.recall_drop["fear"].value == 0


def test_a_class_without_images_has_no_recall() -> None:
    truth = np.array([0, 0, 2])
    found = compare(certain([0, 0, 2]), certain([0, 2, 2]), truth, LABELS)
    assert set(found.recall) == {"angry", "fear"}
    assert found.agreement == pytest.approx(2 / 3)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=80), st.integers(0, 2))
def test_one_label_always_is_never_above_chance_in_mean_recall_and_each_label_is_counted(
    truth: list[int], answer: int
) -> None:
    found = compare(certain(truth), certain([answer] * len(truth)), np.array(truth), LABELS)
    assert found.balanced is not None
    assert found.balanced.low <= found.balanced.value <= 1 / len(set(truth)) + 1e-9
    assert found.tested == {label: truth.count(number) for number, label in enumerate(LABELS)}


@pytest.mark.parametrize("rare", [1, 3, 10])
def test_all_right_on_an_unbalanced_test_is_above_chance(rare: int) -> None:
    truth = [0] * (100 - rare) + [1] * rare
    found = compare(certain(truth), certain(truth), np.array(truth), LABELS[:2])
    assert found.balanced is not None
    assert found.balanced.low > 0.5


def drawn(count: int, sharper: float, seed: int = 3) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Calibrated probabilities, the same ones sharpened by so much, and labels drawn from the calibrated ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, len(LABELS)))
    calibrated, sharpened = softmax(logits, axis=1), softmax(sharper * logits, axis=1)
    return calibrated, sharpened, np.array([random.choice(len(LABELS), p=row) for row in calibrated])


@pytest.mark.parametrize(("count", "sharper", "certain_"), [(3000, 3.0, True), (3000, 1.0, False), (60, 1.3, False)])
def test_a_rise_of_the_calibration_error_is_certain_where_the_images_are_enough(
    count: int, sharper: float, certain_: bool
) -> None:
    calibrated, sharpened, truth = drawn(count, sharper)
    rise = calibration_rise(truth, calibrated, sharpened)
    assert rise.low <= rise.high
    assert (rise.low > 0) == certain_
    errors = [expected_calibration_error(truth, each) for each in (sharpened, calibrated)]
    assert rise.value == pytest.approx(errors[0] - errors[1])


@pytest.mark.parametrize(("sharper", "least", "most"), [(1.0, 0.0, 0.12), (3.0, 0.9, 1.0)])
def test_of_140_images_an_equal_model_is_seldom_thought_worse_and_a_much_worse_one_is_found(
    sharper: float, least: float, most: float
) -> None:
    """By its value alone, every seventh equal one passed the limit of two points."""
    found = []
    for seed in range(60):
        calibrated, sharpened, truth = drawn(140, sharper, seed)
        noisy = softmax(np.log(sharpened) + np.random.default_rng(seed).normal(0, 0.06, sharpened.shape), axis=1)
        rise = calibration_rise(truth, calibrated, noisy)
        found.append(rise.value > 0.02 and rise.low > 0)
    assert least <= np.mean(found) <= most


def test_an_interval_is_the_same_each_time() -> None:
    calibrated, sharpened, truth = drawn(100, 1.6)
    assert calibration_rise(truth, calibrated, sharpened) == calibration_rise(truth, calibrated, sharpened)


def test_two_images_that_another_name_would_win_do_not_tell() -> None:
    truth = np.array([0] * 5 + [1] * 40 + [2] * 40)
    answers = [1, 1, 1, 0, 2] + [1] * 37 + [0] * 3 + [2] * 40
    found = compare(certain(truth.tolist()), certain(answers), truth, LABELS)
    assert found.relabelling == {}
    swapped = [1, 1, 1, 1, 2] + [0] * 3 + [2] * 37 + [1] * 2 + [2] * 38
    found = compare(certain(truth.tolist()), certain(swapped), truth, LABELS)
    assert found.relabelling_won is not None
    assert found.relabelling_gain == found.relabelling_won.value > 0.01
    assert (found.relabelling_won.low > 0) == (found.relabelling_gain > 0.05)
