"""Runs in a real MLflow store: each training keeps its own, and a store that is away costs no training."""

import json
import re
import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mlflow import MlflowClient

from tests.mlflow_store import new_store
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.fit import fit
from train.loop import tracking
from train.loop.settings import TrainParams

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; on a busy machine


def logged(params: TrainParams, training: str, *, resumed: bool, said: list[str], rows: int = 1) -> str:
    with tracking.open_run(params, "source", training, resumed=resumed, report=said.append) as run:
        for row in range(rows):
            run.epoch({"epoch": float(row + 1), "loss": 0.5})
    return run.run_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all."""
    return new_store(tmp_path_factory.mktemp("store"))


def test_each_training_has_a_run_of_its_own_and_goes_on_in_it(tmp_path: Path, store: str) -> None:
    said: list[str] = []
    params = settings(tmp_path, tracking_uri=store)
    first = logged(params, "one", resumed=False, said=said)
    assert logged(params, "one", resumed=True, said=said) == first
    other = msgspec.structs.replace(params, learning_rate=0.7)
    second = logged(other, "two", resumed=False, said=said)
    assert second != first
    assert logged(params, "one", resumed=True, said=said) not in (first, second)  # the folder is the second one's
    assert logged(other, "two", resumed=False, said=said) != second  # from the start again
    client = MlflowClient(params.tracking_uri)
    assert [client.get_run(run).data.params["learning_rate"] for run in (first, second)] == ["0.1", "0.7"]
    assert said == []


@pytest.mark.parametrize("noted", ["", "[]", "{}", '{"run_id": "gone"}', '{"run_id": 7, "training": null}'])
def test_a_damaged_note_is_lived_without(tmp_path: Path, store: str, noted: str) -> None:
    params = settings(tmp_path, tracking_uri=store)
    Path(params.output).mkdir()
    (Path(params.output) / "run.json").write_text(noted)
    assert re.fullmatch("[0-9a-f]{32}", logged(params, "one", resumed=True, said=[]))


@pytest.fixture
def silent() -> Any:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def test_a_store_that_is_away_is_said_and_not_waited_for(
    tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LONGEST_WAIT", 0.5)
    uris = [
        "http://127.0.0.1:9",
        f"http://me:secret@127.0.0.1:{silent}",
        "nonsense://x",
        f"sqlite:///{tmp_path}/no/x.db",
    ]
    (tmp_path / "no").touch()
    for uri in uris:
        said: list[str] = []
        params = settings(tmp_path, tracking_uri=uri)
        assert logged(params, "one", resumed=False, said=said, rows=3) == ""
        assert len(said) == 1
        assert "cannot be used" in said[0]
        assert "goes on without it" in said[0]
        assert "secret" not in said[0]
        assert tracking.open_parent(params, "study", said.append) == ""


def test_a_store_that_is_lost_in_the_middle_is_said_once_and_told_the_rest_when_it_is_back(tmp_path: Path) -> None:
    said: list[str] = []
    params = settings(tmp_path)
    database, aside = tmp_path / "mlflow.db", tmp_path / "aside.db"
    with tracking.open_run(params, "source", "one", resumed=False, report=said.append) as run:
        run.epoch({"epoch": 1.0, "loss": 0.5})
        database.rename(aside)
        database.mkdir()
        run._client._tracking_client.store.engine.dispose()
        run.epoch({"epoch": 2.0, "loss": 0.4})
        run.epoch({"epoch": 3.0, "loss": 0.3})
        assert len(said) == 1
        assert "was lost" in said[0]
        database.rmdir()
        aside.rename(database)
        run.epoch({"epoch": 4.0, "loss": 0.2})
    steps = MlflowClient(params.tracking_uri).get_metric_history(run.run_id, "loss")
    assert sorted(metric.step for metric in steps) == [1, 2, 3, 4]
    assert len(said) == 1


@pytest.mark.slow
def test_a_training_without_its_store_ends_well_and_its_result_names_no_run(tmp_path: Path) -> None:
    said: list[str] = []
    params = settings(tmp_path, epochs=1, tracking_uri="http://127.0.0.1:9")
    fitted = fit(params, shapes(), report=said.append)
    result = json.loads((Path(params.output) / "result.json").read_text())
    assert result["mlflow_run"] == ""
    assert result["selection_accuracy"] == fitted.selection.accuracy.value
    assert any("MLflow at http://127.0.0.1:9 cannot be used" in line for line in said)


def test_a_second_training_in_the_same_folder_is_another_run_with_its_own_parameters(
    tmp_path: Path, store: str
) -> None:
    params = settings(tmp_path, epochs=1, tracking_uri=store)
    runs = []
    for rate in (0.1, 0.02):
        fit(msgspec.structs.replace(params, learning_rate=rate), shapes(), restart=True, report=lambda _line: None)
        runs.append(json.loads((Path(params.output) / "result.json").read_text())["mlflow_run"])
    client = MlflowClient(params.tracking_uri)
    assert [client.get_run(run).data.params["learning_rate"] for run in runs] == ["0.1", "0.02"]


def test_what_a_library_repeats_of_the_address_is_not_said(tmp_path: Path) -> None:
    said: list[str] = []
    params = settings(tmp_path, tracking_uri="postgresql://me:hush-hush@127.0.0.1:9/x?password=whisper")
    assert logged(params, "one", resumed=False, said=said) == ""
    assert "postgresql://127.0.0.1:9/x cannot be used" in said[0]
    assert not re.search("hush|whisper", said[0])
    error = RuntimeError("no route to me:hush-hush@127.0.0.1 with whisper")
    assert not re.search("hush|whisper", tracking.reason(error, params.tracking_uri))


@pytest.mark.slow
def test_a_database_of_an_older_mlflow_is_told_how_to_be_upgraded_and_costs_no_training(
    tmp_path: Path, store: str
) -> None:
    said: list[str] = []
    logged(settings(tmp_path, tracking_uri=store), "one", resumed=False, said=said)
    path = tmp_path / "old.db"
    shutil.copy(store.removeprefix("sqlite:///"), path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = 'bda7b8c39065'")
    database.close()
    assert logged(settings(tmp_path, tracking_uri=f"sqlite:///{path}"), "two", resumed=False, said=said) == ""
    assert f"`mlflow db upgrade sqlite:///{path}`): the training goes on without it." in said[-1]
