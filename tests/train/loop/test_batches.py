"""Batches hold each row's own targets, blended as its picture is."""

import numpy as np

from tests.train.small_runs import MILD
from train.loop.batches import Batches
from train.loop.soft_labels import Views


def test_labels_are_blended_as_their_pictures_are() -> None:
    images = np.zeros((1, 3, 4, 4, 1), np.uint8)
    answers = np.full((1, 3, 3), 1 / 3, np.float16)
    views = Views(
        images,
        answers,
        np.empty((1, 3, 0), np.float16),
        np.array([[1, 2, 0]], np.int32),
        np.array([[0.75, 1.0, 0.5]], np.float32),
    )
    batches = Batches(
        images, {"labels": np.eye(3), "teacher": answers}, batch_size=3, strength=MILD, seed=0, views=views
    )
    _, targets = batches[0]
    found = {tuple(row) for row in targets["labels"].tolist()}
    assert found == {(0.75, 0.25, 0.0), (0.0, 1.0, 0.0), (0.5, 0.0, 0.5)}
    np.testing.assert_allclose(targets["teacher"], 1 / 3, atol=1e-3)  # the teacher saw the blend itself
