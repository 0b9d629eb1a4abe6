"""The end of a training: normalisation measured again, and a last layer that fits the selection split."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.loop.batches import Batches
from train.loop.callbacks import predict
from train.loop.learner import Learner
from train.scoring import scores

SETTLE_PICTURES, SETTLE_BATCH = 5120, 256
NEWTON_STEPS = 20
OFFSET_PRIOR = 28  # weight, in pictures, of having no offset: a class with a dozen pictures is moved little


def settle_normalisation(
    learner: Learner,
    batches: Batches,
    images: NDArray[np.uint8],
    selection: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    report: Callable[[str], None],
) -> None:
    """Measure batch normalisation's statistics again for the final weights.

    While training they followed weights that still moved, and an average of weights never had any of its own. They are
    measured on training pictures unchanged and as they were learned from, and the selection split's loss decides.
    """
    network = learner.network
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    chosen = np.random.default_rng(0).permutation(len(images))[:SETTLE_PICTURES]
    plain = [images[chosen[start : start + SETTLE_BATCH]] for start in range(0, len(chosen), SETTLE_BATCH)]
    changed = range(min(len(batches), -(-SETTLE_PICTURES // batches.batch_size)))
    ways: dict[str, Iterator[Any]] = {
        "as trained": iter(()),
        "measured again on unchanged pictures": (network(part.astype(np.float32), training=True) for part in plain),
        "on pictures as they were learned from": (learner(batches[index][0], training=True) for index in changed),
    }
    found = {}
    for way, passes in ways.items():
        _measure(norms, passes)
        loss = scores.log_loss(selection[1], predict(network, selection[0]))
        found[way] = loss, [layer.get_weights() for layer in norms]
    report("selection loss with normalisation " + ", ".join(f"{way} {loss:.4f}" for way, (loss, _) in found.items()))
    _, best = min(found.values(), key=lambda pair: pair[0])
    for layer, weights in zip(norms, best, strict=True):
        layer.set_weights(weights)


def _measure(norms: list[Any], passes: Iterator[Any]) -> None:
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    for done, _ in enumerate(passes, start=1):
        for layer in norms:
            layer.momentum = done / (done + 1)  # so that the running mean is the plain mean of all batches
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def settle_head(
    model: Any, probabilities: NDArray[np.float32], labels: NDArray[np.uint8]
) -> tuple[float, NDArray[np.float64]]:
    """Fit the shipped network's last layer to the selection split: one temperature, and one offset for each class.

    Distillation and label smoothing leave a network less sure than it may be, long training surer, and both shift its
    answers for the classes that people disagree about. It costs a device nothing: both go into the last layer's weights
    (Guo et al. 2017). Returns temperature and offsets [classes], which are added to the logits after it.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    temperature = _temperature(logits, labels)
    offsets = _offsets(logits / temperature, labels)
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel / temperature, bias / temperature + offsets])
    return temperature, offsets


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    def loss(temperature: float) -> float:
        return scores.log_loss(labels, _softmax(logits / temperature))

    # One number from thousands of pictures: a fine grid finds it as exactly as they determine it.
    return float(min(np.exp(np.linspace(np.log(0.2), np.log(5.0), 323)), key=loss))


def _offsets(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Maximum likelihood with a ridge, by Newton's method: convex, and with one unknown for each class."""
    classes, ridge = logits.shape[1], OFFSET_PRIOR / len(labels)
    share = np.bincount(labels, minlength=classes) / len(labels)
    offsets = np.zeros(classes)
    for _ in range(NEWTON_STEPS):
        answers = _softmax(logits + offsets)
        slope = answers.mean(axis=0) - share + ridge * offsets
        curvature = np.diag(answers.mean(axis=0)) - answers.T @ answers / len(answers) + ridge * np.eye(classes)
        offsets = offsets - np.linalg.solve(curvature, slope)
    return offsets - offsets.mean()


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def accuracy_on_known(
    model: Any, images: NDArray[np.uint8], labels: NDArray[np.uint8], rows: NDArray[np.intp]
) -> float:
    """Share of (at most `SETTLE_PICTURES`) unchanged training pictures named as labelled: far over the selection
    split's is over-fitted, near it under-trained."""
    chosen = np.random.default_rng(1).permutation(rows)[:SETTLE_PICTURES]
    answers = np.asarray(model.predict(images[chosen], batch_size=SETTLE_BATCH, verbose=0))
    return float((answers.argmax(axis=1) == labels[chosen]).mean())
