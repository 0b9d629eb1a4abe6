"""The network together with what it learns from: augmentation before it, the whole loss behind it.

A `keras.Model`, so that `fit` is Keras' own on every backend. Inputs are {"image": uint8 [B,H,W,C], "changes": [B,K]};
targets are {"labels": [B,classes], "teacher": [B,classes], "votes": [B,V]}, each a distribution, and "features": [B,F],
numbers of unit variance; all but the first are optional. Loops, files and schedules are elsewhere.
"""

from typing import Any

import keras

from train.loop import augment
from train.loop.settings import Augment, Objective

Tensor = Any


class Learner(keras.Model):
    """Trains `network` (logits from float pixels) on augmented pictures."""

    def __init__(self, network: Any, objective: Objective, seed: int, strength: Augment) -> None:
        super().__init__(name="learner")
        self.strength = strength
        self.network = network
        self.objective = objective
        self.noise_seed = keras.random.SeedGenerator(seed)

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> dict[str, Tensor]:
        """Logits of every head for a batch."""
        pixels = keras.ops.cast(inputs["image"], "float32")
        if training and self.strength.changes_pixels():
            pixels = augment.apply(pixels, inputs["changes"], self.noise_seed, self.strength)
        if training:
            pixels = augment.mix_pictures(pixels, inputs["changes"])
        return self.network(pixels, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002 - Keras' signature
        training: bool = True,  # noqa: ARG002 - Keras' signature
    ) -> Tensor:
        """Mean over the batch of labels, teacher and votes, weighted as the objective says."""
        ops, goal = keras.ops, self.objective
        y = {name: augment.mix_targets(ops.cast(target, "float32"), x["changes"]) for name, target in y.items()}
        logits = y_pred["labels"]
        smooth = goal.label_smoothing
        labels = y["labels"] * (1 - smooth) + smooth / logits.shape[-1]
        loss = ops.mean(ops.categorical_crossentropy(labels, logits, from_logits=True))
        if goal.teacher_weight:
            # T² keeps the gradient's size as the temperature rises.
            soft = _soften(y["teacher"], goal.temperature)
            distance = ops.categorical_crossentropy(soft, logits / goal.temperature, from_logits=True)
            loss = (1 - goal.teacher_weight) * loss + goal.teacher_weight * goal.temperature**2 * ops.mean(distance)
        if goal.votes_weight:
            # A row without votes has only zeros, and counts for nothing.
            votes = ops.categorical_crossentropy(y["votes"], y_pred["votes"], from_logits=True)
            present = ops.sum(y["votes"], axis=-1)
            loss = loss + goal.votes_weight * ops.sum(votes * present) / ops.maximum(ops.sum(present), 1.0)
        if goal.features_weight:
            loss = loss + goal.features_weight * ops.mean(ops.square(y_pred["features"] - y["features"]))
        return loss


def _soften(probabilities: Tensor, temperature: float) -> Tensor:
    if temperature == 1.0:
        return probabilities
    powered = keras.ops.power(keras.ops.maximum(probabilities, 1e-8), 1 / temperature)
    return powered / keras.ops.sum(powered, axis=-1, keepdims=True)
