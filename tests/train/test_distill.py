"""A teacher's stored answers: for the very pictures the student sees, and never for other data."""

from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import MILD, settings
from train import distill
from train.fit import fit
from train.loop.settings import Augment, Objective
from train.loop.soft_labels import save_views

pytestmark = pytest.mark.xdist_group("training")  # one worker trains what several tests read

NOTHING = {
    "scale": 0, "shift": 0, "rotation": 0, "flip": 0, "erase": 0, "contrast": 0, "brightness": 0, "blur": 0, "noise": 0,
}  # fmt: skip


@pytest.mark.slow
def test_a_student_learns_from_a_teachers_views(shapes_run: Path, tmp_path: Path) -> None:
    data = shapes()
    rows = data.split_indices("train")
    network = distill.load_teacher(shapes_run, data.label_names)
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


def test_teachers_are_compared_alone_and_together_the_best_first(shapes_run: Path) -> None:
    data = shapes()
    rows = data.split_indices("selection")
    good = distill.load_teacher(shapes_run, data.label_names)
    idle = distill.load_teacher(shapes_run, data.label_names)
    idle.set_weights([np.zeros_like(weight) for weight in idle.get_weights()])  # answers 1/3 to everything
    found = distill.compare({"good": good, "idle": idle}, data.images[rows], data.labels[rows])
    assert [names for names, _, _ in found] == ["good", "good + idle", "idle"]
    assert found[0][1].accuracy.value == found[1][1].accuracy.value > 0.9  # a third each changes no answer
    assert found[2][2] == pytest.approx(np.log(3), abs=0.01)


def test_teachers_weigh_as_they_are_told_and_alike_when_they_are_not(shapes_run: Path) -> None:
    data = shapes()
    images = data.images[:9]
    good, idle = (distill.load_teacher(shapes_run, data.label_names) for _ in range(2))
    idle.set_weights([np.zeros_like(weight) for weight in idle.get_weights()])  # answers 1/3 to everything

    def answers(*teachers: object, weights: tuple[float, ...] = ()) -> np.ndarray:
        return distill.answer(list(teachers), images, MILD, 1, seed=4, weights=weights).probabilities.astype(float)

    alone, third = answers(good), 1 / 3
    np.testing.assert_allclose(answers(good, idle, weights=(3, 1)), 0.75 * alone + 0.25 * third, atol=2e-3)
    np.testing.assert_allclose(answers(good, idle), 0.5 * alone + 0.5 * third, atol=2e-3)
    with pytest.raises(UsageError, match=r"distill\.weights are \[1\.0\] for 2 teachers"):
        answers(good, idle, weights=(1.0,))


def test_the_same_seed_gives_the_same_views(shapes_run: Path) -> None:
    data = shapes(60)
    network = distill.load_teacher(shapes_run, data.label_names)
    first, again = (distill.answer([network], data.images[:9], MILD, views=1, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)


def test_a_blend_says_what_it_is_blended_from(shapes_run: Path) -> None:
    data = shapes(60)
    images = data.images[:20]
    network = distill.load_teacher(shapes_run, data.label_names)
    views = distill.answer([network], images, Augment(**NOTHING, mixup=1.0), views=2, seed=3)
    assert (views.partners[0] != views.partners[1]).any()
    for view in range(2):
        share = views.shares[view].reshape(-1, 1, 1, 1)
        expected = share * images + (1 - share) * images[views.partners[view]]
        np.testing.assert_allclose(views.images[view], expected, atol=0.51)  # rounded to whole grey levels
    assert views.shares.min() >= 0.5
    assert (views.shares < 0.9).any()


def test_a_student_learns_what_its_teachers_saw(shapes_run: Path, tmp_path: Path) -> None:
    data = shapes()
    network = distill.load_teacher(shapes_run, data.label_names)
    views = distill.answer([network, network], data.images[data.split_indices("train")], MILD, 1, seed=1, features=4)
    assert views.features.shape == (1, len(data.split_indices("train")), 4)
    assert views.features.astype(np.float32).var(axis=(0, 1)).mean() == pytest.approx(1, abs=0.05)
    save_views(tmp_path / "views.npz", views, data)
    goal = Objective(teacher_weight=0.5, features_weight=0.5)
    fitted = fit(settings(tmp_path, views=str(tmp_path / "views.npz"), objective=goal), data)
    assert fitted.selection.accuracy.value > 0.8
    assert [layer.name for layer in fitted.model.layers if "features" in layer.name] == []  # left behind
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]


def test_features_that_are_not_there_are_refused(shapes_run: Path, tmp_path: Path) -> None:
    data = shapes(60)
    rows = data.split_indices("train")
    network = distill.load_teacher(shapes_run, data.label_names)
    with pytest.raises(UsageError, match=r"distill.features is 9999, the teachers have \d+"):
        distill.answer([network], data.images[rows], MILD, views=1, seed=0, features=9999)
    save_views(tmp_path / "v.npz", distill.answer([network], data.images[rows], MILD, views=1, seed=0), data)
    goal = Objective(features_weight=0.5)
    with pytest.raises(UsageError, match="holds no features"):
        fit(settings(tmp_path, views=str(tmp_path / "v.npz"), objective=goal), data)
    with pytest.raises(UsageError, match=r"name them in train\.views"):
        fit(settings(tmp_path, objective=goal), data)


def test_an_unfinished_teacher_and_one_for_other_labels_are_refused(shapes_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no finished training"):
        distill.load_teacher(tmp_path, ("a", "b"))
    with pytest.raises(UsageError, match="answers 3 classes, the dataset has 2"):
        distill.load_teacher(shapes_run, ("a", "b"))
