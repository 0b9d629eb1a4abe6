"""Stored views belong to the data they were made from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from train.data.dataset import Dataset
from train.loop.soft_labels import Views, load_views, save_views


def views_of(data: Dataset) -> Views:
    """One view of every training picture, and a teacher that answers the same for all."""
    rows = data.split_indices("train")
    return Views(
        data.images[rows][None],
        np.full((1, len(rows), 3), 1 / 3, np.float16),
        np.empty((1, len(rows), 0), np.float16),
        np.zeros((1, len(rows)), np.int32),
        np.ones((1, len(rows)), np.float32),
    )


def test_views_come_back_as_they_were_written(tmp_path: Path) -> None:
    data = shapes(60)
    written = views_of(data)
    save_views(tmp_path / "v.npz", written, data)
    found = load_views(tmp_path / "v.npz", data, data.split_indices("train"))
    for field in dataclasses.fields(Views):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(written, field.name))


def test_views_of_other_data_are_refused(tmp_path: Path) -> None:
    data = shapes(60)
    rows = data.split_indices("train")
    save_views(tmp_path / "v.npz", views_of(data), data)
    with pytest.raises(UsageError, match="made from other data"):
        load_views(tmp_path / "v.npz", dataclasses.replace(data, source_digest="other"), rows)
    with pytest.raises(UsageError, match=r"holds \d+ rows, the dataset trains on 3"):
        load_views(tmp_path / "v.npz", data, rows[:3])
    with pytest.raises(UsageError, match="does not exist"):
        load_views(tmp_path / "none.npz", data, rows)
    (tmp_path / "v.npz").write_bytes(b"PK")
    with pytest.raises(UsageError, match="is not a file of views"):
        load_views(tmp_path / "v.npz", data, rows)
