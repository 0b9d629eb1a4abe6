"""What each logged training changed and what it gained: `python -m train.ablation [RUN ...] [--experiment NAME]`.

Reads MLflow, so every row is a run that can be opened there. Runs are named by their folder's name, later ones first
where a name was used again; without names all finished runs of this dataset are listed. Only params that differ between
the listed runs are shown. Accuracy is of the selection split: the test split chooses nothing.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_contract.command_end import command
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.public_url import public_url
from train.data import dataset
from train.loop.settings import TrainParams
from train.loop.tracking import reason, tracking_uri
from train.params import nearest
from train.scoring import scores

# Where things are and what they happen to run on changes no weight.
_PLACES = ("output", "dataset", "experiment", "tracking_uri", "threads", "views", "start_from")


@dataclass(frozen=True, slots=True)
class Trained:
    """One finished run: params as MLflow keeps them, and what came out; `seconds` is the training's own time."""

    name: str
    run_id: str
    params: dict[str, str]
    epochs: int
    accuracy: float
    seconds: float
    pictures_per_second: float
    n: int = 0  # pictures of the selection split it was scored on; 0 where that was not logged yet


def finished_runs(client: Any, experiment: str, source_digest: str) -> list[Trained]:
    """The experiment's finished runs on this very data, newest first.

    Raises:
        UsageError: There is no such experiment.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = [each.name for each in client.search_experiments()]
        raise UsageError(f"MLflow has no experiment `{experiment}`: {nearest(experiment, names)}")
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"])
    return [
        _trained(client, run)
        for run in runs
        if run.data.tags.get("source_digest") == source_digest and "final_selection_accuracy" in run.data.metrics
    ]


def _trained(client: Any, run: Any) -> Trained:
    seconds, speed = (
        [point.value for point in client.get_metric_history(run.info.run_id, name)]
        for name in ("seconds", "images_per_second")
    )
    return Trained(
        name=run.info.run_name,
        run_id=run.info.run_id,
        params=dict(run.data.params),
        epochs=len(seconds),
        accuracy=run.data.metrics["final_selection_accuracy"],
        seconds=float(sum(seconds)),
        pictures_per_second=float(np.median(speed)) if speed else 0.0,
        n=int(run.data.metrics.get("final_selection_n", 0)),
    )


def chosen(runs: list[Trained], names: list[str]) -> list[Trained]:
    """The newest run of each name, in the order of names; all runs where none is named.

    Raises:
        UsageError: There is no finished run of that name.
    """
    newest: dict[str, Trained] = {}
    for run in runs:
        newest.setdefault(run.name, run)
    for name in names:
        if name not in newest:
            raise UsageError(f"there is no finished run `{name}` on this dataset: {nearest(name, list(newest))}")
    return [newest[name] for name in names] if names else list(reversed(newest.values()))


def as_markdown(runs: list[Trained], n: int) -> str:
    """One row a run; each names the params in which it differs from the first.

    The selection split has `n` pictures; a run that was scored on another number of them says so.
    """
    heads = (
        "run",
        "differs from the first in",
        "epochs",
        "selection accuracy, % [95 %]",
        "minutes",
        "pictures/s",
        "MLflow",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|---:|---|"]
    for run in runs:
        own = run.n or n
        share = scores.wilson(round(run.accuracy * own), own)
        cells = (
            run.name, _difference(runs[0], run), str(run.epochs),
            f"{100 * share.value:.2f} [{100 * share.low:.2f}, {100 * share.high:.2f}]"
            + (f", n = {own:,}" if own != n else ""),
            f"{run.seconds / 60:.0f}", f"{run.pictures_per_second:,.0f}", f"`{run.run_id[:8]}`",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _difference(first: Trained, run: Trained) -> str:
    names = sorted(first.params.keys() | run.params.keys())
    changed = [
        f"{name} {run.params.get(name, 'default')}"
        for name in names
        if name.partition(".")[0] not in _PLACES and run.params.get(name) != first.params.get(name)
    ]
    return ", ".join(changed) or (run.params.get("network", "") if run is first else "nothing")


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.ablation`."""
    from mlflow import MlflowClient  # noqa: PLC0415 - a second and 100 MB that --help can do without
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="Logged trainings beside each other, on the selection split.")
    parser.add_argument("runs", nargs="*", help="names of runs, the reference first; all when none is named")
    parser.add_argument("--experiment", default=TrainParams().experiment)
    parser.add_argument("--dataset", type=Path, default=Path(TrainParams().dataset))
    parser.add_argument("--tracking-uri", default=TrainParams().tracking_uri)
    options = parser.parse_args(arguments)
    data = dataset.load(options.dataset)
    place = msgspec.structs.replace(TrainParams(), tracking_uri=options.tracking_uri)
    uri = tracking_uri(place)
    try:
        client = MlflowClient(tracking_uri=uri)
        found = finished_runs(client, options.experiment, data.source_digest)
    except (MlflowException, SQLAlchemyError) as error:
        raise EdgewiseError(f"MLflow at {public_url(uri)} cannot be used ({reason(error, uri)}).") from error
    runs = chosen(found, options.runs)
    if not runs:
        raise UsageError(
            f"experiment `{options.experiment}` has no finished run on {options.dataset}", remedy="train one"
        )
    print(as_markdown(runs, len(data.split_indices("selection"))))  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
