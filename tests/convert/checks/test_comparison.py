"""Paired statistics against hand-counted tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.checks.comparison import compare, paired_difference

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
