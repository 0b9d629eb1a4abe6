"""The calibration sample: stratified, repeatable, and never silently empty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.tflite.calibration import stratified
from edge_contract.errors import UsageError


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(1, 300), st.integers(0, 5))
def test_every_class_is_there_in_its_share(sizes: list[int], count: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if count < len(sizes):
        with pytest.raises(UsageError, match="cannot show"):
            stratified(labels, count, seed)
        return
    rows = stratified(labels, count, seed)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(labels))
    found = np.bincount(labels[rows], minlength=len(sizes))
    assert found.min() >= 1
    exact = np.array(sizes) * len(rows) / len(labels)
    # Within one of the exact share, but for what giving every class at least one image takes away.
    assert np.abs(found - exact).max() <= len(sizes)


def test_the_same_seed_takes_the_same_images() -> None:
    labels = np.arange(1000) % 7
    assert stratified(labels, 100, 4).tolist() == stratified(labels, 100, 4).tolist()
    assert stratified(labels, 100, 4).tolist() != stratified(labels, 100, 5).tolist()


@pytest.mark.parametrize(("labels", "count"), [(np.zeros(0, int), 10), (np.zeros(5, int), 0)])
def test_nothing_to_choose_is_a_usage_error(labels: np.ndarray, count: int) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match="empty"):
        stratified(labels, count, 1)
