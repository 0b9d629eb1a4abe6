"""The end of a training: confidence that fits, without an answer changed."""

import keras
import numpy as np
import pytest

from train import scores
from train.finish import settle_temperature


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 1.8])
def test_a_network_too_sure_or_too_unsure_gets_the_confidence_it_deserves(sharpness: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (4000, 5)).astype(np.float32)
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in true.astype(np.float64)], np.uint8)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="head")(inputs))
    model.get_layer("head").set_weights([np.eye(5) * sharpness, np.zeros(5)])
    before = np.asarray(model.predict(logits, verbose=0))

    temperature = settle_temperature(model, before, labels)

    after = np.asarray(model.predict(logits, verbose=0))
    assert temperature == pytest.approx(sharpness, rel=0.08)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert scores.log_loss(labels, after) <= scores.log_loss(labels, before) + 1e-6
    assert scores.expected_calibration_error(labels, after) < 0.03
