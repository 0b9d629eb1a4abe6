"""The end of a training: a last layer that fits the pictures it was not trained on."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.train.pictures_of_shapes import shapes
from train.loop.calibrate import settle_head, settle_normalisation
from train.loop.callbacks import predict
from train.loop.settings import Augment, TrainParams
from train.loop.setup import Training, set_up
from train.scoring import scores

CLASSES = 5


def labelled(leaning: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Logits [N,5], and labels drawn as a network would have them whose logits are these plus `leaning`."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (4000, CLASSES)).astype(np.float32)
    true = np.exp(logits + leaning)
    true /= true.sum(axis=1, keepdims=True)
    return logits, np.array([rng.choice(CLASSES, p=row) for row in true], np.uint8)


def network(sharpness: float) -> Any:
    inputs = keras.Input((CLASSES,))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax", name="head")(inputs))
    model.get_layer("head").set_weights([np.eye(CLASSES) * sharpness, np.zeros(CLASSES)])
    return model


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 1.8])
def test_a_network_too_sure_or_too_unsure_gets_the_confidence_it_deserves(sharpness: float) -> None:
    logits, labels = labelled(np.zeros(CLASSES))
    model = network(sharpness)
    before = np.asarray(model.predict(logits, verbose=0))

    temperature, offsets = settle_head(model, before, labels)

    after = np.asarray(model.predict(logits, verbose=0))
    assert temperature == pytest.approx(sharpness, rel=0.08)
    assert np.abs(offsets).max() < 0.1
    assert scores.log_loss(labels, after) <= scores.log_loss(labels, before) + 1e-6
    assert scores.expected_calibration_error(labels, after) < 0.03


def test_a_class_that_is_named_too_seldom_gets_its_share_again() -> None:
    leaning = np.array([0.0, 0.8, 0.0, -0.4, 0.0])
    logits, labels = labelled(leaning)
    model = network(1.0)
    before = np.asarray(model.predict(logits, verbose=0))

    _, offsets = settle_head(model, before, labels)

    after = np.asarray(model.predict(logits, verbose=0))
    np.testing.assert_allclose(offsets, leaning - leaning.mean(), atol=0.15)
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    assert np.abs(after.mean(axis=0) - shares).max() < 0.01 < np.abs(before.mean(axis=0) - shares).max()
    assert scores.score(labels, after).accuracy.value > scores.score(labels, before).accuracy.value


def test_a_class_with_one_picture_does_not_run_away() -> None:
    labels = np.array([0] * 99 + [1], np.uint8)
    sure = np.tile(np.float32([1, 0]), (100, 1))  # never says the second class
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax", name="head")])
    _, offsets = settle_head(model, sure, labels)
    assert np.abs(offsets).max() < 3
    assert all(np.isfinite(weight).all() for weight in model.get_layer("head").get_weights())


def test_the_same_shares_of_fewer_pictures_have_less_say() -> None:
    labels = np.array([0, 0, 0, 1], np.uint8)
    spreads = []
    for times in (5, 500):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax", name="head")])
        even = np.full((4 * times, 2), 0.5, np.float32)
        _, offsets = settle_head(model, even, np.tile(labels, times))
        spreads.append(offsets[0] - offsets[1])
    assert spreads[1] == pytest.approx(np.log(3), rel=0.1)
    assert spreads[0] < 0.5 * spreads[1]


def training(strength: Augment) -> Training:
    params = TrainParams(
        network_options={"stem": 4, "widths": [8, 8], "depths": [1, 1]}, batch_size=30, augment=strength
    )
    return set_up(params, shapes())


def means(parts: Training) -> NDArray[np.float64]:
    layers = parts.network.layers
    return np.concatenate([layer.get_weights()[2] for layer in layers if hasattr(layer, "moving_mean")])


def test_statistics_of_other_weights_are_measured_again() -> None:
    parts, data = training(Augment(mixup=0.0)), shapes()
    selected = data.split_indices("selection")
    selection = data.images[selected], data.labels[selected]
    for layer in parts.network.layers:
        if hasattr(layer, "moving_mean"):
            layer.moving_mean.assign(layer.moving_mean + 40)
    before, told = scores.log_loss(selection[1], predict(parts.network, selection[0])), list[str]()

    settle_normalisation(parts.learner, parts.batches, data.images[data.split_indices("train")], selection, told.append)

    assert scores.log_loss(selection[1], predict(parts.network, selection[0])) < before
    assert np.abs(means(parts)).max() < 20
    assert {layer.momentum for layer in parts.network.layers if hasattr(layer, "momentum")} == {0.9}
    assert "as they were learned from" in told[0]


def test_statistics_that_are_best_as_trained_are_kept() -> None:
    parts, data, told = training(Augment(mixup=0.0)), shapes(), list[str]()
    selected = data.split_indices("selection")
    selection = data.images[selected], data.labels[selected]
    settle_normalisation(parts.learner, parts.batches, data.images[data.split_indices("train")], selection, told.append)
    kept, loss = means(parts), scores.log_loss(selection[1], predict(parts.network, selection[0]))
    parts.batches.images = np.zeros_like(parts.batches.images)

    settle_normalisation(parts.learner, parts.batches, np.full((60, 16, 16, 1), 255, np.uint8), selection, told.append)

    np.testing.assert_array_equal(means(parts), kept)
    assert scores.log_loss(selection[1], predict(parts.network, selection[0])) == loss
