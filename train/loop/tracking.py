"""A training's run in MLflow: parameters, one row of metrics an epoch, pictures, and where it was trained."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import msgspec

from edge_contract.public_url import public_url
from train.loop.errors import StoppedError
from train.loop.machine import cpu_name
from train.loop.settings import TrainParams
from train.scoring.scores import Scores


class Run:
    """One MLflow run, found again by the id beside the checkpoint when a training goes on."""

    def __init__(self, run_id: str, client: Any, output: Path) -> None:
        self.run_id, self.client, self.output = run_id, client, output

    def epoch(self, row: dict[str, float]) -> None:
        """Log one epoch's figures at its step."""
        for name, value in row.items():
            if name != "epoch":
                self.client.log_metric(self.run_id, name, value, step=int(row["epoch"]))

    def finish(self, result: Scores, sizes: dict[str, float]) -> None:
        """Log the final selection score, the network's sizes and the pictures."""
        final = {
            "final_selection_accuracy": result.accuracy.value,
            "final_selection_ece": result.calibration_error,
            "final_selection_n": float(result.n),
        }
        for name, value in {**final, **sizes}.items():
            self.client.log_metric(self.run_id, name, value)
        for picture in sorted(self.output.glob("*.png")):
            self.client.log_artifact(self.run_id, str(picture), "pictures")


@contextmanager
def open_run(params: TrainParams, source_digest: str, output: Path, parent_run: str = "") -> Iterator[Run]:
    """Start a run, or take up the one that `output` names, and close it as finished, failed or killed."""
    from mlflow import MlflowClient  # noqa: PLC0415 - a second and 100 MB that only a training needs
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    client = MlflowClient(tracking_uri=tracking_uri(params))
    output.mkdir(parents=True, exist_ok=True)
    note = output / "run.json"
    run_id = json.loads(note.read_text())["run_id"] if note.exists() else ""
    try:
        client.set_terminated(client.get_run(run_id).info.run_id, status="RUNNING")
    except (MlflowException, ValueError):
        run_id = _create(client, params, source_digest, output, parent_run)
        note.write_text(json.dumps({"run_id": run_id}) + "\n")
    status = "FAILED"
    try:
        yield Run(run_id, client, output)
        status = "FINISHED"
    except (KeyboardInterrupt, StoppedError):
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status=status)


def open_parent(params: TrainParams, name: str) -> str:
    """Make a finished run to be the parent of others; its id."""
    from mlflow import MlflowClient  # noqa: PLC0415 - as in `open_run`

    client = MlflowClient(tracking_uri=tracking_uri(params))
    run = client.create_run(_experiment(client, params.experiment), run_name=name)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def tracking_uri(params: TrainParams) -> str:
    """MLflow's own environment variable goes before the params, as in every MLflow program."""
    return os.environ.get("MLFLOW_TRACKING_URI") or params.tracking_uri


def _experiment(client: Any, name: str) -> str:
    """The experiment's id; another process may make it at the same moment."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as in `open_run`

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def _create(client: Any, params: TrainParams, source_digest: str, output: Path, parent_run: str) -> str:
    run = client.create_run(_experiment(client, params.experiment), run_name=output.name)
    shown = {**msgspec.to_builtins(params), "tracking_uri": public_url(params.tracking_uri)}
    for name, value in _flat(shown).items():
        client.log_param(run.info.run_id, name, value)
    tags = {
        "cpu": cpu_name(),
        "backend": keras.backend.backend(),
        "precision": params.precision,
        "source_digest": source_digest,
    } | ({"mlflow.parentRunId": parent_run} if parent_run else {})
    for name, value in tags.items():
        client.set_tag(run.info.run_id, name, value)
    return str(run.info.run_id)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
