"""The weights that are scored and kept are averages, and training goes on from the live ones."""

from pathlib import Path

import keras
import numpy as np

from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.loop.setup import set_up


def test_the_average_over_steps_is_what_is_scored_and_training_goes_on_from_the_live_weights(tmp_path: Path) -> None:
    params = settings(tmp_path, step_average_decay=0.7, average_decay=0.0)
    training = set_up(params, shapes())
    live = training.learner.trainable_variables
    expected: list[np.ndarray] = []
    for step in range(4):
        training.learner.train_on_batch(*training.batches[step])
        now = [np.array(keras.ops.convert_to_numpy(variable)) for variable in live]
        expected = [0.7 * old + 0.3 * new for old, new in zip(expected, now, strict=True)] if expected else now
    training.state.average()
    for variable, value in zip(live, now, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    training.state.use_averaged()
    for variable, value in zip(live, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), value, rtol=1e-5, atol=1e-6)
