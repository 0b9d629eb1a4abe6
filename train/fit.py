"""`make train`: fit a network on the dataset, checkpoint every epoch, and write the shipped form.

    python -m train.fit [--params params.yaml] [--restart]

Reads splits `train` and `selection`, never a test. Writes into `train.output`: checkpoint.npz, history.json,
model.keras (branches folded, uint8 in, probabilities out) and pictures. After SIGTERM or kill -9 the same command goes on from the
last finished epoch and ends with the same weights as an uninterrupted run.
"""

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import EdgewiseError, UsageError
from train import checkpoint, dataset, machine, networks, pictures, scores
from train.batches import Batches
from train.learner import Learner
from train.params import load_section
from train.progress import Progress
from train.settings import TrainParams
from train.tracking import Run, open_run
from train.views import load_views


class DivergedError(EdgewiseError):
    """The loss stopped being a number."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training gives: the shipped network, how it got there, and its score on the selection split."""

    model: Any
    history: list[dict[str, float]]
    selection: scores.Scores


def fit(
    params: TrainParams, data: dataset.Dataset, *, restart: bool = False, report: Callable[[str], None] = print
) -> Fitted:
    """Train (or go on training) as `params` say and write everything into `params.output`."""
    output = Path(params.output)
    classes = len(data.label_names)
    refuse_unfit_labels(data)
    train_rows, selection_rows = data.split_indices("train"), data.split_indices("selection")
    machine.limit_threads(params.threads)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(params.seed)
    config = networks.network_config(params.network, params.network_options)
    votes = len(data.vote_names) if params.objective.votes_weight else 0
    if params.objective.votes_weight and not votes:
        raise UsageError("train.objective.votes_weight needs FER+ votes: run `make data` with FERPLUS=fer2013new.csv.")
    shape = data.images.shape[1:]
    network, builder = networks.build_training(config, shape, classes, votes=votes, policy=params.precision)
    learner = Learner(network, params.objective, params.seed)
    batches = _batches(params, data, train_rows, votes)
    learner.compile(
        optimizer=make_optimizer(params, len(batches)),
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    learner.optimizer.build(learner.trainable_variables)

    state = _State(learner, params, _fingerprint(params, data), output / "checkpoint.npz")
    done = 0 if restart else state.restore()
    batches.epoch = done
    report(
        f"{params.network}: {network.count_params():,} weights while training, {len(train_rows):,} pictures, "
        f"epoch {done} of {params.epochs} done, {keras.backend.backend()} {params.precision}"
    )
    selection = data.images[selection_rows], data.labels[selection_rows]
    output.mkdir(parents=True, exist_ok=True)
    (output / "params.json").write_bytes(msgspec.json.format(msgspec.json.encode(params), indent=1))
    with open_run(params, data.source_digest, output) as run:
        if done < params.epochs:
            with Progress(params.epochs, len(batches) * batches.batch_size) as progress:
                callback = _EveryEpoch(state, batches, selection, run, progress)
                learner.fit(
                    batches, initial_epoch=done, epochs=params.epochs, verbose=0, shuffle=False, callbacks=[callback]
                )
        state.use_averaged()
        _settle_normalisation(network, data.images[train_rows], selection, report)
        model = networks.deploy(network, builder, config, name=params.network)
        probabilities = np.asarray(model.predict(selection[0], batch_size=256, verbose=0))
        result = scores.score(selection[1], probabilities)
        write_outputs(output, model, state.history, result, probabilities, selection[1], data.label_names)
        run.finish(result, model, networks.multiply_accumulates(model))
    return Fitted(model, state.history, result)


def refuse_unfit_labels(data: dataset.Dataset) -> None:
    """Stop before training where labels do not fit the head, or a class has nothing to learn from.

    Raises:
        UsageError: The text names the label.
    """
    classes = len(data.label_names)
    if len(data.labels) and int(data.labels.max()) >= classes:
        raise UsageError(
            f"the dataset has label {int(data.labels.max())}, but names only {classes} classes: prepare it again."
        )
    for split in ("train", "selection"):
        counts = np.bincount(data.labels[data.split_indices(split)], minlength=classes)
        for name, count in zip(data.label_names, counts, strict=True):
            if count == 0:
                raise UsageError(f"class `{name}` has no picture in split {split}: add some, or leave the class out.")


def make_optimizer(params: TrainParams, steps: int) -> Any:
    """The optimizer with its schedule; weight decay leaves biases and normalisation alone."""
    rate: Any = params.learning_rate
    if params.schedule == "cosine":
        warmup = int(params.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, max(params.epochs * steps - warmup, 1), alpha=0.0,
            warmup_target=rate if warmup else None, warmup_steps=warmup,
        )  # fmt: skip
    decay = params.weight_decay or None
    match params.optimizer:
        case "sgd":
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
        case "adam":
            optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
        case "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=params.weight_decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["norm", "bias"])
    return optimizer


def _batches(params: TrainParams, data: dataset.Dataset, rows: NDArray[np.intp], votes: int) -> Batches:
    images = data.images[rows][None]
    targets: dict[str, NDArray[np.floating]] = {
        "labels": np.eye(len(data.label_names), dtype=np.float32)[data.labels[rows]]
    }
    if votes:
        counts = data.votes[rows].astype(np.float32)
        targets["votes"] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if params.views:
        views = load_views(Path(params.views), data, rows)
        images, targets["teacher"] = views.images, views.probabilities
    elif params.objective.teacher_weight:
        raise UsageError("train.objective.teacher_weight needs a teacher's answers: name them in train.views.")
    return Batches(images, targets, batch_size=params.batch_size, strength=params.augment, seed=params.seed)


def _fingerprint(params: TrainParams, data: dataset.Dataset) -> str:
    places = {"output": "", "dataset": "", "experiment": "", "tracking_uri": "", "threads": 0}
    return checkpoint.fingerprint(
        msgspec.json.encode(msgspec.structs.replace(params, **places)).decode(), data.source_digest
    )


class _State:
    """The live variables of a training and their way to and from the checkpoint."""

    def __init__(self, learner: Learner, params: TrainParams, fingerprint: str, path: Path) -> None:
        self.learner, self.params, self.fingerprint, self.path = learner, params, fingerprint, path
        self.history: list[dict[str, float]] = []
        self.weights = learner.network.weights
        self.averaged: list[NDArray[Any]] = []

    def _variables(self) -> list[Any]:
        return [*self.weights, *self.learner.optimizer.variables]

    def restore(self) -> int:
        """Take up the checkpoint; the number of epochs it has behind it."""
        found = checkpoint.load(self.path, self.fingerprint)
        if found is None:
            return 0
        for variable, value in zip(self._variables(), found.variables, strict=True):
            variable.assign(value)
        self.averaged, self.history = found.averaged, found.history
        return found.epoch

    def reseed(self, epoch: int) -> None:
        """Give dropout and noise the random stream of this epoch, whatever ran before in this process."""
        seeds = [v for v in self.learner.variables if v.path.endswith("seed_generator_state")]
        for index, variable in enumerate(seeds):
            stream = np.random.default_rng([self.params.seed, epoch, index])
            variable.assign(stream.integers(0, 2**31, variable.shape).astype(variable.dtype))

    def average(self) -> None:
        """Take this epoch's weights and normalisation statistics into the average."""
        decay = self.params.average_decay
        now = [keras.ops.convert_to_numpy(variable) for variable in self.weights]
        if not self.averaged or not decay:
            self.averaged = [value.copy() for value in now]
            return
        # Early on the plain mean: a decay towards random first weights would take epochs to forget them.
        keep = min(decay, len(self.history) / (len(self.history) + 1) if len(self.history) > 1 else 0.0)
        self.averaged = [
            (keep * old + (1 - keep) * new).astype(new.dtype) for old, new in zip(self.averaged, now, strict=True)
        ]

    def use_averaged(self) -> list[NDArray[Any]]:
        """Put the averaged weights into the network; returns those that were there."""
        live = [keras.ops.convert_to_numpy(variable).copy() for variable in self.weights]
        self.put(self.averaged)
        return live

    def put(self, values: list[NDArray[Any]]) -> None:
        """Assign the network's weights."""
        for variable, value in zip(self.weights, values, strict=True):
            variable.assign(value)

    def save(self, epoch: int) -> None:
        """Write the checkpoint of `epoch` finished epochs."""
        values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self._variables()]
        checkpoint.save(self.path, checkpoint.Checkpoint(epoch, self.fingerprint, self.history, values, self.averaged))


class _EveryEpoch(keras.callbacks.Callback):  # type: ignore[misc, name-defined, unused-ignore]
    """Watches the loss, scores the selection split, saves; stops the run at the next step after SIGTERM."""

    def __init__(
        self, state: _State, batches: Batches, selection: tuple[Any, Any], run: Run, progress: Progress
    ) -> None:
        super().__init__()
        self.state, self.batches, self.selection, self.run, self.progress = state, batches, selection, run, progress
        self.epoch, self.started, self.terminated = 0, 0.0, False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras' signature
        def terminate(_signal: int, _frame: FrameType | None) -> None:
            self.terminated = True

        try:
            self.previous = signal.signal(signal.SIGTERM, terminate)
        except ValueError:  # not in the main thread: whoever runs us there handles signals
            self.previous = None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras' signature
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras' signature
        self.epoch, self.started = epoch, time.monotonic()
        self.state.reseed(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.step(self.epoch, (batch + 1) * self.batches.batch_size)
        if batch % 10 == 0 and logs and not math.isfinite(float(logs["loss"])):
            rate = float(self.state.learner.optimizer.learning_rate)
            raise DivergedError(
                f"the loss is {float(logs['loss'])} in epoch {self.epoch + 1} at learning rate {rate:.3g}: "
                "lower train.learning_rate, or lengthen train.warmup_epochs."
            )
        if self.terminated:
            sys.stdout.flush()
            raise SystemExit(f"stopped in epoch {self.epoch + 1}; the same command goes on from epoch {self.epoch}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.monotonic() - self.started
        loss = float((logs or {"loss": math.nan})["loss"])
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} after epoch {epoch + 1}: lower train.learning_rate.")
        state = self.state
        state.average()
        live = state.use_averaged()
        probabilities = predict(state.learner.network, self.selection[0])
        state.put(live)
        right = scores.score(self.selection[1], probabilities)
        row = {
            "epoch": epoch + 1,
            "loss": loss,
            "learning_rate": float(state.learner.optimizer.learning_rate),
            "selection_accuracy": right.accuracy.value,
            "selection_loss": _log_loss(self.selection[1], probabilities),
            "seconds": seconds,
            "images_per_second": len(self.batches) * self.batches.batch_size / seconds,
        }
        state.history.append(row)
        state.save(epoch + 1)
        self.progress.epoch(row)
        self.run.epoch(row)


def predict(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [N,classes] of a network in training form."""
    logits = network.predict(images, batch_size=256, verbose=0)["labels"]
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(logits)), np.float32)


def _settle_normalisation(
    network: Any, images: NDArray[np.uint8], selection: tuple[Any, Any], report: Callable[[str], None]
) -> None:
    """Measure batch normalisation's statistics again for the final weights, on unchanged training pictures.

    While training they saw augmented pictures and weights that still moved. Kept only where the selection split's loss
    says that it is better.
    """
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms or not len(images):
        return
    before = _log_loss(selection[1], predict(network, selection[0]))
    kept = [layer.get_weights() for layer in norms]
    momenta = [layer.momentum for layer in norms]
    chosen = np.random.default_rng(0).permutation(len(images))[:5120]
    for index, start in enumerate(range(0, len(chosen), 256)):
        for layer in norms:
            layer.momentum = index / (index + 1)  # so that the running mean is the plain mean of all batches
        network(images[chosen[start : start + 256]].astype(np.float32), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    after = _log_loss(selection[1], predict(network, selection[0]))
    report(f"selection loss with normalisation as trained {before:.4f}, measured again {after:.4f}")
    if after >= before:
        for layer, weights in zip(norms, kept, strict=True):
            layer.set_weights(weights)


def _log_loss(labels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    return float(-np.mean(np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-9))))


def write_outputs(
    output: Path, model: Any, history: list[dict[str, float]], result: scores.Scores, probabilities: NDArray[np.float32],
    labels: NDArray[np.uint8], label_names: tuple[str, ...],
) -> None:  # fmt: skip
    """The shipped network, its history and its pictures; the model appears under its name only when it is whole."""
    output.mkdir(parents=True, exist_ok=True)
    part = output / "model.part.keras"
    model.save(part)
    part.replace(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history, indent=1) + "\n")
    pictures.learning_curve(history, output / "learning_curve.png")
    pictures.confusion(result.confusion, label_names, output / "confusion_selection.png")
    pictures.reliability(labels, probabilities, output / "reliability_selection.png")


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.fit`."""
    parser = argparse.ArgumentParser(description="Train a network, or go on from its last epoch.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint")
    options = parser.parse_args(arguments)
    try:
        params = load_section(options.params, "train", TrainParams)
        networks.network_config(params.network, params.network_options)
        fitted = fit(params, dataset.load(Path(params.dataset)), restart=options.restart)
    except EdgewiseError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's one sentence
        return int(error.exit_code)
    result = fitted.selection.accuracy
    print(  # noqa: T201 - the command's answer
        f"{params.output}/model.keras: selection accuracy {result.value:.2%} "
        f"({result.low:.2%}-{result.high:.2%}, n {fitted.selection.n})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
