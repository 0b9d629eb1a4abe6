"""A teacher's stored answers: for the very pictures the student sees, and never for other data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from tests.train.test_fit import MILD, settings
from train import distill
from train.fit import fit
from train.learner import Objective
from train.views import load_views, save_views


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    fit(settings(folder), shapes())
    return folder / "run"


def test_a_student_learns_from_a_teachers_views(teacher: Path, tmp_path: Path) -> None:
    data = shapes()
    rows = data.split_indices("train")
    network = distill.load_teacher(teacher, data.label_names)
    views = distill.answer([network], data.images[rows], MILD, views=2, seed=1)
    assert views.images.shape == (2, len(rows), 16, 16, 1)
    assert (views.images[0] != views.images[1]).any()
    np.testing.assert_allclose(views.probabilities.astype(np.float32).sum(axis=2), 1, atol=0.01)
    assert (views.probabilities.argmax(axis=2) == data.labels[rows]).mean() > 0.9
    save_views(tmp_path / "views.npz", views, data)
    params = settings(
        tmp_path, views=str(tmp_path / "views.npz"), objective=Objective(teacher_weight=0.7, temperature=2)
    )
    assert fit(params, data).selection.accuracy.value > 0.8


def test_teachers_are_compared_alone_and_together_the_best_first(teacher: Path) -> None:
    data = shapes()
    rows = data.split_indices("selection")
    good = distill.load_teacher(teacher, data.label_names)
    idle = distill.load_teacher(teacher, data.label_names)
    idle.set_weights([np.zeros_like(weight) for weight in idle.get_weights()])  # answers 1/3 to everything
    found = distill.compare({"good": good, "idle": idle}, data.images[rows], data.labels[rows])
    assert [names for names, _, _ in found] == ["good", "good + idle", "idle"]
    assert found[0][1].accuracy.value == found[1][1].accuracy.value > 0.9  # a third each changes no answer
    assert found[2][2] == pytest.approx(np.log(3), abs=0.01)


def test_the_same_seed_gives_the_same_views(teacher: Path) -> None:
    data = shapes(60)
    network = distill.load_teacher(teacher, data.label_names)
    first, again = (distill.answer([network], data.images[:9], MILD, views=1, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)


def test_views_of_other_data_are_refused(teacher: Path, tmp_path: Path) -> None:
    data = shapes(60)
    rows = data.split_indices("train")
    network = distill.load_teacher(teacher, data.label_names)
    save_views(tmp_path / "v.npz", distill.answer([network], data.images[rows], MILD, views=1, seed=0), data)
    with pytest.raises(UsageError, match="made from other data"):
        load_views(tmp_path / "v.npz", dataclasses.replace(data, source_digest="other"), rows)
    with pytest.raises(UsageError, match=r"holds \d+ rows, the dataset trains on 3"):
        load_views(tmp_path / "v.npz", data, rows[:3])
    with pytest.raises(UsageError, match="does not exist"):
        load_views(tmp_path / "none.npz", data, rows)


def test_an_unfinished_teacher_and_one_for_other_labels_are_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished training"):
        distill.load_teacher(tmp_path, ("a", "b"))
    with pytest.raises(UsageError, match="answers 3 classes, the dataset has 2"):
        distill.load_teacher(teacher, ("a", "b"))
