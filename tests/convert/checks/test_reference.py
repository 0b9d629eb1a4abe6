"""What a package says of its answers: counted by label and confidence, and the confidence that stands for accuracy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.checks.reference import reference_of, sure_above

LABELS = ("angry", "happy")


def answers(*happy: float) -> NDArray[np.float32]:
    """Probabilities of two labels."""
    return np.array([(1 - share, share) for share in happy], np.float32)


def test_answers_are_counted_by_the_label_named_and_its_bucket_and_the_right_ones_again() -> None:
    named = answers(0.9, 0.95, 0.55, 0.25)  # 0.9 is within the bucket that ends there
    found = reference_of(named, np.array([1, 0, 1, 0]), LABELS, 0.55)
    assert found.by_label == {"angry": (0, 0, 0, 0, 0, 0, 0, 1, 0, 0), "happy": (0, 0, 0, 0, 0, 1, 0, 0, 1, 1)}
    assert found.right == {"angry": (0, 0, 0, 0, 0, 0, 0, 1, 0, 0), "happy": (0, 0, 0, 0, 0, 1, 0, 0, 1, 0)}
    assert found.predictions == {"angry": 0.25, "happy": 0.75}
    assert found.confidence == (0, 0, 0, 0, 0, 0.25, 0, 0.25, 0.25, 0.25)
    assert found.sure_above == 0.55


@pytest.mark.parametrize(
    ("happy", "truth", "sure"),
    [
        ((0.6, 0.7, 0.8, 0.9), (1, 1, 0, 0), 0.8),  # half are right: half reach 0.8
        ((0.6, 0.7, 0.8, 0.9), (1, 1, 1, 1), 0.6),
        ((0.6, 0.7, 0.8, 0.9), (0, 0, 0, 0), None),
        ((0.6, 0.9, 0.9, 0.9), (1, 1, 0, 0), 0.9),  # steps: three reach 0.9, one more than were right
        ((0.6, 0.6, 0.6, 0.9), (1, 0, 0, 0), 0.9),
    ],
)
def test_as_many_pictures_reach_the_threshold_as_were_answered_rightly(
    happy: tuple[float, ...], truth: tuple[int, ...], sure: float | None
) -> None:
    assert sure_above(answers(*happy), np.array(truth)) == (sure if sure is None else pytest.approx(sure))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 1)), min_size=1, max_size=60))
def test_whatever_a_model_answers_its_counts_add_up_and_no_step_estimates_better(rows: list[tuple[int, int]]) -> None:
    named = answers(*(step / 256 for step, _ in rows))
    truth = np.array([label for _, label in rows])
    sure = sure_above(named, truth)
    found = reference_of(named, truth, LABELS, sure)
    assert sum(map(sum, found.by_label.values())) == len(rows)
    right = int((named.argmax(axis=1) == truth).sum())
    assert sum(map(sum, found.right.values())) == right
    if sure is None:
        assert right == 0
        return
    confidence = named.max(axis=1)
    off = abs(int((confidence >= sure).sum()) - right)
    assert all(off <= abs(int((confidence >= step).sum()) - right) for step in confidence)
