"""The dataset file: a file of another kind is refused, and votes give a label only where they are clear."""

from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from train.data import dataset


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_dataset_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dataset.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a dataset file"):
        dataset.load(path)


def test_a_pickle_inside_a_dataset_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "dataset.npz"
    with path.open("wb") as file:
        np.savez(file, images=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="is not a dataset file"):
        dataset.load(path)


def test_the_majority_label_is_missing_where_votes_are_tied_or_for_none_of_the_classes() -> None:
    votes = np.array([[5, 1, 0], [3, 3, 0], [0, 1, 9], [0, 0, 0]], np.uint8)
    data = dataset.Dataset(
        np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, np.uint8), np.zeros(4, np.uint8), ("sad", "happy"),
        votes, ("happy", "sad", "contempt"), "x",
    )  # fmt: skip
    assert data.majority_labels().tolist() == [1, -1, -1, -1]
