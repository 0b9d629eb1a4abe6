"""A training's run in MLflow: parameters, one row of metrics an epoch, pictures, and where it was trained."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import keras
import msgspec

from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.durable import write_file
from edge_contract.mlflow_reason import explained, schemas
from edge_contract.public_url import public_url
from train.loop.errors import StoppedError
from train.loop.machine import cpu_name
from train.loop.settings import TrainParams
from train.scoring.scores import Scores

LONGEST_WAIT: Final = 20.0
"""Seconds that a training waits for a tracking server at a time; a local file is not waited for but worked with."""

_ResultT = TypeVar("_ResultT")


class Run:
    """One MLflow run, found again by the note beside the checkpoint when a training goes on.

    A store that fails does not end the training: what it missed is sent again with the next epoch.
    """

    def __init__(self, run_id: str, client: Any, params: TrainParams, report: Callable[[str], None]) -> None:
        """`run_id` empty: there is no store, and nothing is logged."""
        self.run_id, self._client, self._output = run_id, client, Path(params.output)
        self._uri, self._report = tracking_uri(params), report
        self._unsent: list[Callable[[], None]] = []
        self._lost = False

    def epoch(self, row: dict[str, float]) -> None:
        """Log one epoch's figures at its step."""

        def send() -> None:
            for name, value in row.items():
                if name != "epoch":
                    self._client.log_metric(self.run_id, name, value, step=int(row["epoch"]))

        self._send(send)

    def finish(self, result: Scores, sizes: dict[str, float]) -> None:
        """Log the final selection score, the network's sizes and the pictures."""
        final = {
            "final_selection_accuracy": result.accuracy.value,
            "final_selection_ece": result.calibration_error,
            "final_selection_n": float(result.n),
        }

        def send() -> None:
            for name, value in {**final, **sizes}.items():
                self._client.log_metric(self.run_id, name, value)
            for picture in sorted(self._output.glob("*.png")):
                self._client.log_artifact(self.run_id, str(picture), "pictures")

        self._send(send)

    def close(self, status: str) -> None:
        """Mark the run as finished, failed or killed."""
        self._send(lambda: self._client.set_terminated(self.run_id, status=status))
        if self._unsent:
            self._report(f"MLflow at {self._uri_shown} lacks the end of run {self.run_id}.")

    def _send(self, call: Callable[[], None]) -> None:
        """Send this after all that could not be sent before; a failure is said once until the store is back."""
        if not self.run_id:
            return
        self._unsent.append(call)
        try:
            while self._unsent:
                _within(self._uri, self._unsent[0])
                del self._unsent[0]
        except Exception as error:  # noqa: BLE001 - whatever the store's client raises, the training is worth more
            if not self._lost:
                self._report(
                    f"MLflow at {self._uri_shown} was lost ({reason(error, self._uri)}): the training goes on."
                )
            self._lost = True
        else:
            self._lost = False

    @property
    def _uri_shown(self) -> str:
        return public_url(self._uri)


@contextmanager
def open_run(
    params: TrainParams, source_digest: str, training: str, *, resumed: bool, parent_run: str = "",
    report: Callable[[str], None] = print,
) -> Iterator[Run]:  # fmt: skip
    """Start a run, or take up the one that the output folder notes, and close it as finished, failed or killed.

    `resumed`: this training goes on from a checkpoint, or is whole already; another one gets a run of its own.
    `training`: the fingerprint that the noted run must be of, since each run keeps its own parameters and figures.
    Without a store that works there is no run, and that is said.
    """
    note = Path(params.output) / "run.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    noted = _noted(note)
    # A note of an earlier version does not say whose run it is; the checkpoint beside it fits.
    taken_up = noted.get("run_id", "") if resumed and noted.get("training", training) == training else ""
    run_id, client = _found_or_made(params, source_digest, taken_up, parent_run, report)
    if run_id or not taken_up:  # a store that is away today still has the run
        write_file(note, (json.dumps({"run_id": run_id, "training": training}) + "\n").encode())
    run = Run(run_id, client, params, report)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except (KeyboardInterrupt, StoppedError):
        status = "KILLED"
        raise
    finally:
        run.close(status)


def open_parent(params: TrainParams, name: str, report: Callable[[str], None] = print) -> str:
    """Make a finished run to be the parent of others; its id, empty without a store that works."""

    def make(client: Any) -> str:
        run = client.create_run(_experiment(client, params.experiment), run_name=name)
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    return _with_store(params, make, report)[0]


def _found_or_made(
    params: TrainParams, source_digest: str, noted: str, parent_run: str, report: Callable[[str], None]
) -> tuple[str, Any]:
    """The id of the noted run, where the store has it, or of a new one; and the client."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as in `_with_store`

    def find_or_make(client: Any) -> str:
        if noted:
            try:
                client.set_terminated(noted, status="RUNNING")
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                return noted
        return _create(client, params, source_digest, parent_run)

    return _with_store(params, find_or_make, report)


def _with_store(params: TrainParams, call: Callable[[Any], str], report: Callable[[str], None]) -> tuple[str, Any]:
    """What `call` makes of a client of the store, and the client; nothing, and a sentence, where the store fails."""
    uri = tracking_uri(params)
    # By itself MLflow asks a silent server for minutes, without a word.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")
    from mlflow import MlflowClient  # noqa: PLC0415 - a second and 100 MB that only a training needs

    made: list[Any] = []

    def connect() -> str:
        made.append(MlflowClient(tracking_uri=uri))
        return call(made[0])

    try:
        return _within(uri, connect), made[0]
    except Exception as error:  # noqa: BLE001 - its client, a database's or a server's own: none is worth the training
        report(f"MLflow at {public_url(uri)} cannot be used ({reason(error, uri)}): the training goes on without it.")
        return "", None


def _within(uri: str, call: Callable[[], _ResultT]) -> _ResultT:
    """What `call` gives; TimeoutError where the store is another machine's and does not answer for so long.

    The call is then left behind: its thread ends with it or with the process.
    """
    if uri.startswith("sqlite:"):
        return call()
    answers: list[_ResultT] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=work, name="mlflow", daemon=True)
    thread.start()
    thread.join(LONGEST_WAIT)
    if failures:
        raise failures[0]
    if not answers:
        raise TimeoutError(f"no answer in {LONGEST_WAIT:.0f} seconds")
    return answers[0]


def reason(error: Exception, uri: str) -> str:
    """Why the store at `uri` fails, and what to do about it where that is known; nothing secret of the address."""
    import mlflow  # noqa: PLC0415 - as in `_with_store`

    return str(explained(error, uri, schemas(str(mlflow.__file__)))).removesuffix(".")


def _noted(note: Path) -> dict[str, str]:
    """What the note says; nothing where there is none, or it is damaged."""
    try:
        found = json.loads(read_text(note, limits.DOCUMENT_BYTES))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def tracking_uri(params: TrainParams) -> str:
    """MLflow's own environment variable goes before the params, as in every MLflow program."""
    return os.environ.get("MLFLOW_TRACKING_URI") or params.tracking_uri


def _experiment(client: Any, name: str) -> str:
    """The experiment's id; another process may make it at the same moment."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as in `_with_store`

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def _create(client: Any, params: TrainParams, source_digest: str, parent_run: str) -> str:
    run = client.create_run(_experiment(client, params.experiment), run_name=Path(params.output).name)
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
