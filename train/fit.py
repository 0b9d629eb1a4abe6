"""`make train`: fit a network on the dataset, checkpoint every epoch, and write the shipped form.

    python -m train.fit [--params params.yaml] [--minutes M] [--restart]

Reads splits `train` and `selection`, never a test. Writes into `train.output`: checkpoint.npz, history.json,
model.keras (branches folded, uint8 in, probabilities out) and pictures. After SIGTERM or kill -9 the same command goes
on from the last finished epoch and ends with the same weights as an uninterrupted run.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import EdgewiseError, UsageError
from train import checkpoint, dataset, finish, fold, machine, networks, scores, unfold
from train.batches import Batches
from train.learner import Learner
from train.optimizer import make_optimizer
from train.params import load_section
from train.progress import Progress
from train.settings import TrainParams
from train.state import TrainingState
from train.tracking import open_run
from train.views import load_views
from train.watch import Watch

# What may differ between a start and a resume: where things are, and what it happens to run on.
_PLACES = ("output", "dataset", "experiment", "tracking_uri", "threads")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training gives: the shipped network, how it got there, and its score on the selection split."""

    model: Any
    history: list[dict[str, float]]
    selection: scores.Scores


def fit(
    params: TrainParams,
    data: dataset.Dataset,
    *,
    minutes: float = math.inf,
    restart: bool = False,
    parent_run: str = "",
    on_epoch: Callable[[dict[str, float]], None] = lambda _row: None,
    report: Callable[[str], None] = print,
) -> Fitted:
    """Train (or go on training) as `params` say and write everything into `params.output`.

    After `minutes` the epoch at hand is finished and the network written as it then is; a later call goes on. 0 writes
    the network of the checkpoint. `on_epoch` gets each epoch's row of the history after its checkpoint is written; what
    it raises ends the training. `parent_run` is an MLflow run that this one stands under.

    Raises:
        UsageError: Params, dataset and checkpoint do not fit together.
        DivergedError: The loss is no longer a number.
        StoppedError: SIGTERM came.
    """
    config = networks.network_config(params.network, params.network_options)
    refuse_unfit_labels(data)
    machine.limit_threads(params.threads)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(params.seed)
    votes = _vote_count(params, data)
    network, builder = networks.build_training(
        config, data.images.shape[1:], len(data.label_names), votes=votes, policy=params.precision
    )
    batches = _batches(params, data, votes)
    learner = Learner(network, params.objective, params.seed, params.augment)
    # JAX is slow without compilation; TensorFlow's XLA was measured slower than its own graph on CPUs.
    learner.compile(optimizer=make_optimizer(params, len(batches)), jit_compile=keras.backend.backend() == "jax")
    learner.optimizer.build(learner.trainable_variables)

    output = Path(params.output)
    state = TrainingState(
        learner, seed=params.seed, average_decay=params.average_decay,
        fingerprint=_fingerprint(params, data), path=output / "checkpoint.npz",
    )  # fmt: skip
    done = 0 if restart else state.restore()
    if not done and params.start_from:
        _start_from(Path(params.start_from), state, network, builder, data.images[data.split_indices("train")])
    report(
        f"{params.network}: {network.count_params():,} weights while training, {batches.images.shape[1]:,} pictures, "
        f"epoch {done} of {params.epochs} done, {keras.backend.backend()} {params.precision}"
    )
    selection_rows = data.split_indices("selection")
    selection = data.images[selection_rows], data.labels[selection_rows]
    output.mkdir(parents=True, exist_ok=True)
    (output / "params.json").write_bytes(msgspec.json.format(msgspec.json.encode(params), indent=1))
    with open_run(params, data.source_digest, output, parent_run) as run:
        if done < params.epochs and minutes > 0:
            batches.epoch = done
            with Progress(params.epochs, len(batches) * batches.batch_size) as progress:
                watch = Watch(
                    state, batches, selection, progress, each_epoch=(run.epoch, on_epoch), seconds=60 * minutes
                )
                try:
                    learner.fit(
                        batches, initial_epoch=done, epochs=params.epochs, verbose=0, shuffle=False, callbacks=[watch]
                    )
                finally:
                    watch.restore_handler()
        state.use_averaged()
        finish.settle_normalisation(network, data.images[data.split_indices("train")], selection, report)
        model = fold.deploy(network, builder, config, name=params.network)
        probabilities = np.asarray(model.predict(selection[0], batch_size=256, verbose=0))
        temperature = finish.settle_temperature(model, probabilities, selection[1])
        probabilities = np.asarray(model.predict(selection[0], batch_size=256, verbose=0))
        report(f"confidence fits the selection split at temperature {temperature:.2f}: folded into the last layer")
        finish.write_outputs(
            output, model=model, history=state.history, labels=selection[1], probabilities=probabilities,
            label_names=data.label_names,
        )  # fmt: skip
        result = scores.score(selection[1], probabilities)
        known = finish.accuracy_on_known(model, data.images, data.labels, data.split_indices("train"))
        report(f"names {known:.1%} of pictures it learned from, {result.accuracy.value:.1%} of the selection split")
        macs = networks.multiply_accumulates(model)
        run.finish(result, {"weights": model.count_params(), "mmac": macs / 1e6, "epochs_done": len(state.history)})
        report(_speed(params, state.history, macs))
    return Fitted(model, state.history, result)


def _start_from(
    start: Path, state: TrainingState, network: Any, builder: networks.Builder, images: NDArray[np.uint8]
) -> None:
    if start.suffix == ".keras":
        unfold.unfold(unfold.load_shipped(start), network, builder, images)
    else:
        state.start_from(start)


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


def _vote_count(params: TrainParams, data: dataset.Dataset) -> int:
    if not params.objective.votes_weight:
        return 0
    if not data.vote_names:
        raise UsageError("train.objective.votes_weight needs FER+ votes: run `make data` with FERPLUS=fer2013new.csv.")
    return len(data.vote_names)


def _batches(params: TrainParams, data: dataset.Dataset, votes: int) -> Batches:
    rows = data.split_indices("train")
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
    settled = {name: value for name, value in msgspec.to_builtins(params).items() if name not in _PLACES}
    return checkpoint.fingerprint(json.dumps(settled, sort_keys=True), data.digest())


def _speed(params: TrainParams, history: list[dict[str, float]], macs: int) -> str:
    """Training speed beside the machine's matrix-multiply peak, in this process and with its threads."""
    if not history:
        return "no epoch was trained."
    pictures = float(np.median([row["images_per_second"] for row in history]))
    # A multiply-accumulate is two operations; the backward pass costs twice the forward pass.
    used, peak = 6 * macs * pictures / 1e9, machine.matmul_peak(params.precision)
    return (
        f"{pictures:,.0f} pictures/s, {used:,.0f} GFLOP/s of the {peak:,.0f} that matrix products reach here "
        f"({used / peak:.0%})"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.fit`."""
    parser = argparse.ArgumentParser(description="Train a network, or go on from its last epoch.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; 0 only writes the network")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint")
    parser.add_argument(
        "--set-aside", action="store_true", help="rename the checkpoint of another training, begin anew"
    )
    options = parser.parse_args(arguments)
    try:
        params = load_section(options.params, "train", TrainParams)
        data = dataset.load(Path(params.dataset))
        if options.set_aside:
            kept = checkpoint.set_aside(Path(params.output) / "checkpoint.npz", _fingerprint(params, data))
            if kept:
                print(f"The checkpoint of another training is kept as {kept}.")  # noqa: T201
        fitted = fit(params, data, minutes=options.minutes, restart=options.restart)
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
