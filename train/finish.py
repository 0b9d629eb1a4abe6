"""The end of a training: settle normalisation, fold the network, write its files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train import pictures, scores
from train.watch import predict

SETTLE_PICTURES, SETTLE_BATCH = 5120, 256


def settle_normalisation(
    network: Any,
    images: NDArray[np.uint8],
    selection: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    report: Callable[[str], None],
) -> None:
    """Measure batch normalisation's statistics again for the final weights, on unchanged training pictures.

    While training they saw augmented pictures and weights that still moved. Kept only where the selection split's loss
    says that it is better.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    before = scores.log_loss(selection[1], predict(network, selection[0]))
    kept = [(layer.get_weights(), layer.momentum) for layer in norms]
    chosen = np.random.default_rng(0).permutation(len(images))[:SETTLE_PICTURES]
    for index, start in enumerate(range(0, len(chosen), SETTLE_BATCH)):
        for layer in norms:
            layer.momentum = index / (index + 1)  # so that the running mean is the plain mean of all batches
        network(images[chosen[start : start + SETTLE_BATCH]].astype(np.float32), training=True)
    for layer, (_, momentum) in zip(norms, kept, strict=True):
        layer.momentum = momentum
    after = scores.log_loss(selection[1], predict(network, selection[0]))
    report(f"selection loss with normalisation as trained {before:.4f}, measured again {after:.4f}")
    if after >= before:
        for layer, (weights, _) in zip(norms, kept, strict=True):
            layer.set_weights(weights)


def settle_temperature(model: Any, probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Divide the shipped network's logits by the temperature at which its confidence fits the selection split.

    Distillation and label smoothing leave a network less sure than it may be, long training surer. No answer changes,
    and it costs a device nothing: the factor goes into the last layer's weights (Guo et al. 2017). Returns it.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        chosen = scaled[np.arange(len(labels)), labels]
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - chosen))

    # One number from thousands of pictures: a fine grid finds it, and says no more than they know.
    grid = np.exp(np.linspace(np.log(0.2), np.log(5.0), 323))
    best = float(min(grid, key=loss))
    head = model.get_layer("head")
    head.set_weights([weight / best for weight in head.get_weights()])
    return best


def accuracy_on_known(
    model: Any, images: NDArray[np.uint8], labels: NDArray[np.uint8], rows: NDArray[np.intp]
) -> float:
    """Share of (at most `SETTLE_PICTURES`) unchanged training pictures named as labelled: far over the selection
    split's is over-fitted, near it under-trained."""
    chosen = np.random.default_rng(1).permutation(rows)[:SETTLE_PICTURES]
    answers = np.asarray(model.predict(images[chosen], batch_size=SETTLE_BATCH, verbose=0))
    return float((answers.argmax(axis=1) == labels[chosen]).mean())


def write_outputs(
    output: Path, *, model: Any, history: list[dict[str, float]], labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32], label_names: tuple[str, ...],
) -> None:  # fmt: skip
    """The shipped network, its history and its pictures; the model appears under its name only when it is whole."""
    output.mkdir(parents=True, exist_ok=True)
    part = output / "model.part.keras"
    model.save(part)
    part.replace(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    result = scores.score(labels, probabilities)
    pictures.learning_curve(history, output / "learning_curve.png")
    pictures.confusion(result.confusion, label_names, output / "confusion_selection.png")
    pictures.reliability(labels, probabilities, output / "reliability_selection.png")
