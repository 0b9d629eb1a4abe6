"""`make train`: fit a network on the dataset, checkpoint every epoch, and write the shipped form.

    python -m train.fit [--params params.yaml] [--minutes M] [--restart]

Reads splits `train` and `selection`, never a test. Writes into `train.output`: checkpoint.npz, history.json,
model.keras (branches folded, uint8 in, probabilities out) and pictures. After SIGTERM or kill -9 the same command goes
on from the last finished epoch and ends with the same weights as an uninterrupted run.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge_contract.command_end import command
from train.data import dataset
from train.loop import calibrate, checkpoint, machine, run_folder
from train.loop.callbacks import Watch
from train.loop.distributed import Team, gathered
from train.loop.settings import TrainParams
from train.loop.setup import Training, fingerprint, first_weights, set_up
from train.loop.tracking import open_run
from train.network import build, fold
from train.params import add_set_option, load_section
from train.progress import Progress
from train.scoring import scores


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
    with gathered(params.processes if minutes > 0 else 1, _help, params, data) as team:
        training = set_up(params, data, team)
        done = first_weights(params, data, training, restart=restart)
        team.equalise(training.variables())
        return _lead(params, data, training, done, minutes, parent_run, on_epoch, report)


def _help(team: Team, params: TrainParams, data: dataset.Dataset) -> None:
    """The work of every other process of the team: the leader's steps, on its own share of each batch."""
    training = set_up(params, data, team)
    team.equalise(training.variables())
    learner, batches = training.learner, training.batches
    # The leader's optimizer has counted the steps that its checkpoint has behind it.
    batches.epoch = int(learner.optimizer.iterations) // len(batches)
    reseed = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _logs: training.state.reseed(epoch))
    learner.fit(
        batches, initial_epoch=batches.epoch, epochs=params.epochs, verbose=0, shuffle=False, callbacks=[reseed]
    )


def _lead(
    params: TrainParams,
    data: dataset.Dataset,
    training: Training,
    done: int,
    minutes: float,
    parent_run: str,
    on_epoch: Callable[[dict[str, float]], None],
    report: Callable[[str], None],
) -> Fitted:
    network, learner, batches, state = training.network, training.learner, training.batches, training.state
    output = Path(params.output)
    report(
        f"{params.network}: {network.count_params():,} weights while training, {batches.images.shape[1]:,} pictures, "
        f"epoch {done} of {params.epochs} done, {keras.backend.backend()} {params.precision}"
    )
    selection_rows = data.split_indices("selection")
    selection = data.images[selection_rows], data.labels[selection_rows]
    run_folder.write_params(output, params)
    mine = fingerprint(params, data)
    with open_run(params, data.source_digest, mine, resumed=done > 0, parent_run=parent_run, report=report) as run:
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
        # Measured on the same pictures however they were trained: by a team or one process, at once or after a resume.
        batches.team, batches.epoch = Team(), len(state.history)
        state.reseed(batches.epoch)
        calibrate.settle_normalisation(learner, batches, data.images[data.split_indices("train")], selection, report)
        model = fold.deploy(network, training.builder, training.config, name=params.network)
        probabilities = np.asarray(model.predict(selection[0], batch_size=256, verbose=0))
        temperature, offsets = calibrate.settle_head(model, probabilities, selection[1])
        probabilities = np.asarray(model.predict(selection[0], batch_size=256, verbose=0))
        by_name = ", ".join(f"{name} {offset:+.2f}" for name, offset in zip(data.label_names, offsets, strict=True))
        report(f"the last layer fits the selection split at temperature {temperature:.2f} and with offsets {by_name}")
        run_folder.write_outputs(
            output, model=model, history=state.history, labels=selection[1], probabilities=probabilities,
            label_names=data.label_names, mlflow_run=run.run_id,
        )  # fmt: skip
        result = scores.score(selection[1], probabilities)
        known = calibrate.accuracy_on_known(model, data.images, data.labels, data.split_indices("train"))
        report(f"names {known:.1%} of pictures it learned from, {result.accuracy.value:.1%} of the selection split")
        macs = build.multiply_accumulates(model)
        run.finish(result, {"weights": model.count_params(), "mmac": macs / 1e6, "epochs_done": len(state.history)})
        report(_speed(params, state.history, macs))
    return Fitted(model, state.history, result)


def _speed(params: TrainParams, history: list[dict[str, float]], macs: int) -> str:
    """Training speed beside the machine's matrix-multiply peak with as many processes and threads."""
    if not history:
        return "no epoch was trained."
    pictures = float(np.median([row["images_per_second"] for row in history]))
    # A multiply-accumulate is two operations; the backward pass costs twice the forward pass.
    used, peak = 6 * macs * pictures / 1e9, params.processes * machine.matmul_peak(params.precision)
    return (
        f"{pictures:,.0f} pictures/s, {used:,.0f} GFLOP/s of the {peak:,.0f} that matrix products reach here "
        f"({used / peak:.0%})"
    )


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.fit`."""
    parser = argparse.ArgumentParser(description="Train a network, or go on from its last epoch.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    add_set_option(parser)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; 0 only writes the network")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint")
    parser.add_argument(
        "--set-aside", action="store_true", help="rename the checkpoint of another training, begin anew"
    )
    options = parser.parse_args(arguments)
    params = load_section(options.params, "train", TrainParams, options.changes)
    data = dataset.load(Path(params.dataset))
    if options.set_aside:
        kept = checkpoint.set_aside(Path(params.output) / "checkpoint.npz", fingerprint(params, data))
        if kept:
            print(f"The checkpoint of another training is kept as {kept}.")  # noqa: T201
    fitted = fit(params, data, minutes=options.minutes, restart=options.restart)
    result = fitted.selection.accuracy
    print(  # noqa: T201 - the command's answer
        f"{params.output}/model.keras: selection accuracy {result.value:.2%} "
        f"({result.low:.2%}-{result.high:.2%}, n {fitted.selection.n})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
