"""Nothing that stands in a test, or on the other side of the selection split, is trained on."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.splits import stratified_share, training_rows_in_tests

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=8, max_size=120)


@given(ROWS, st.floats(0.05, 0.5), st.integers(0, 1000))
@settings(max_examples=60)
def test_equal_pictures_never_straddle_the_split(rows: list[tuple[int, int]], share: float, seed: int) -> None:
    labels = np.array([label for label, _ in rows])
    digests = [bytes([picture]) for _, picture in rows]
    chosen = stratified_share(labels, digests, share, np.random.default_rng(seed))
    inside = {digest for digest, choice in zip(digests, chosen, strict=True) if choice}
    outside = {digest for digest, choice in zip(digests, chosen, strict=True) if not choice}
    assert not inside & outside


def test_every_class_gives_its_share() -> None:
    labels = np.repeat([0, 1, 2], [1000, 100, 20])
    digests = [index.to_bytes(2, "big") for index in range(len(labels))]
    chosen = stratified_share(labels, digests, 0.1, np.random.default_rng(1))
    assert np.bincount(labels[chosen]).tolist() == [100, 10, 2]


def test_a_class_of_one_picture_stays_in_training() -> None:
    labels = np.array([0, 0, 0, 0, 1])
    chosen = stratified_share(labels, [bytes([i]) for i in range(5)], 0.25, np.random.default_rng(0))
    assert not chosen[4]


def test_the_same_seed_splits_alike_and_another_seed_does_not() -> None:
    labels = np.zeros(400, int)
    digests = [index.to_bytes(2, "big") for index in range(400)]
    first, again, other = (stratified_share(labels, digests, 0.1, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_training_rows_that_equal_a_test_picture_are_marked_and_test_rows_are_not() -> None:
    digests = [b"a", b"b", b"a", b"c", b"c"]
    split = np.array([0, 0, 2, 3, 0], np.uint8)
    assert training_rows_in_tests(digests, split, (2, 3)).tolist() == [True, False, False, False, True]
