"""Scores against figures from elsewhere: published tables, hand counts, and laws that must always hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from train.scoring import scores


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_newcombes_published_table(right: int, n: int, low: float, high: float) -> None:
    interval = scores.wilson(right, n)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_of_no_images_says_nothing() -> None:
    interval = scores.wilson(0, 0)
    assert math.isnan(interval.value)
    assert (interval.low, interval.high) == (0.0, 1.0)


@settings(max_examples=60)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_its_share(pair: tuple[int, int]) -> None:
    interval = scores.wilson(*pair)
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


@pytest.mark.parametrize("n", range(1, 200))
def test_wilson_interval_holds_none_and_all_to_the_last_bit(n: int) -> None:
    assert scores.wilson(0, n).low == 0.0
    assert scores.wilson(n, n).high == 1.0


def test_confusion_has_a_row_for_each_true_class() -> None:
    matrix = scores.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_recall_of_a_class_without_images_is_not_a_number() -> None:
    recall = scores.recall_per_class(np.array([[3, 1], [0, 0]]))
    assert recall[0] == 0.75
    assert math.isnan(recall[1])


def test_macro_f1_by_hand() -> None:
    # F1 of class 0: 2*2/(3+3); of class 1: 2*1/(2+2).
    assert scores.macro_f1(np.array([[2, 1], [1, 1]])) == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_macro_f1_leaves_out_a_class_that_never_occurs() -> None:
    assert scores.macro_f1(np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])) == 1.0


def test_calibration_error_by_hand() -> None:
    # Bin (0.6, 0.667]: confidence 0.65, half right. Bin (0.933, 1]: confidence 1, all right.
    probabilities = np.array([[0.65, 0.35], [0.65, 0.35], [1.0, 0.0], [1.0, 0.0]])
    labels = np.array([0, 1, 0, 0])
    assert scores.expected_calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.15)


@settings(max_examples=40)
@given(
    hnp.arrays(np.float64, (12, 4), elements=st.floats(0.01, 1)),
    hnp.arrays(np.int64, 12, elements=st.integers(0, 3)),
)
def test_calibration_error_is_a_share_and_bins_count_every_image(weights: np.ndarray, labels: np.ndarray) -> None:
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    count, _, _ = scores.reliability(labels, probabilities)
    assert count.sum() == 12
    assert 0 <= scores.expected_calibration_error(labels, probabilities) <= 1


@pytest.mark.parametrize(
    ("first_only", "second_only", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 0.021484375), (10, 2, 0.03857421875)],
)
def test_mcnemar_is_the_exact_binomial(first_only: int, second_only: int, p_value: float) -> None:
    first = np.array([True] * first_only + [False] * second_only + [True] * 7, bool)
    second = np.array([False] * first_only + [True] * second_only + [True] * 7, bool)
    result = scores.mcnemar(first, second)
    assert (result.only_first, result.only_second) == (first_only, second_only)
    assert result.p_value == pytest.approx(p_value)


def test_mcnemar_of_thousands_of_discordant_pairs_does_not_overflow() -> None:
    first = np.arange(2400) % 2 == 0
    assert scores.mcnemar(first, ~first).p_value == 1.0


def test_score_counts_what_the_parts_count() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    result = scores.score(np.array([0, 1, 1]), probabilities)
    assert result.n == 3
    assert result.accuracy.value == pytest.approx(2 / 3)
    assert result.recall == (1.0, 0.5)


def test_log_loss_by_hand() -> None:
    loss = scores.log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]]))
    assert loss == pytest.approx((math.log(2) + math.log(4)) / 2)
