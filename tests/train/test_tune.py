"""The search is shared, pruned, and found again; its best is a params file that the trainer takes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import optuna
import pytest
from mlflow import MlflowClient

from edge_contract.errors import UsageError
from tests.mlflow_store import new_store
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.data.dataset import save
from train.loop.settings import TrainParams
from train.params import load_section
from train.tune import Range, TuneParams, open_study, replaced, study_name, tune

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_study_goes_on_and_writes_its_best_as_a_params_file(tmp_path: Path) -> None:
    params = TuneParams(
        space={"learning_rate": Range(low=0.02, high=0.2, log=True), "augment.erase": Range(choices=[0.0, 0.3]),
               "network_options.widths": Range(choices=[[8, 8], [4, 8]])},
        storage=f"sqlite:///{tmp_path}/optuna.db", trials=1, epochs=1, output=str(tmp_path / "tune"),
    )  # fmt: skip
    base, data = settings(tmp_path), shapes()
    tune(params, base, data)
    study = tune(params, base, data)
    assert len(study.trials) == 2
    best = load_section(tmp_path / "tune" / "best.yaml", "train", TrainParams)
    assert best.learning_rate == study.best_params["learning_rate"]
    assert best.augment.erase == study.best_params["augment.erase"]
    assert best.network_options["widths"] in ([8, 8], [4, 8])
    assert best.epochs == base.epochs
    assert (tmp_path / "tune" / "history.png").exists()
    client = MlflowClient(base.tracking_uri)
    run_id = json.loads((tmp_path / "tune" / "trial-0000" / "run.json").read_text())["run_id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    parent = client.get_run(run_id).data.tags["mlflow.parentRunId"]
    assert client.get_run(parent).info.run_name == "edgewise"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("learning_rat", Range(low=0, high=1), "did you mean `learning_rate`?"),
        ("augment.eraze", Range(low=0, high=1), "did you mean `erase`?"),
        ("optimiser.rate", Range(low=0, high=1), "train has no section `optimiser`"),
        ("learning_rate", Range(low=1, high=0), "needs `choices`, or `low` and `high`"),
        ("learning_rate", Range(low=0, high=1, log=True), "above 0 with log"),
        ("learning_rate", Range(), "needs `choices`"),
        ("epochs", Range(choices=["many"]), "epochs must be a whole number"),
    ],
)
def test_a_senseless_space_is_refused_before_the_first_trial(
    tmp_path: Path, name: str, values: Range, sentence: str
) -> None:
    params = TuneParams(space={name: values}, storage=f"sqlite:///{tmp_path}/o.db", output=str(tmp_path))
    with pytest.raises(UsageError) as caught:
        tune(params, settings(tmp_path), shapes())
    assert sentence in str(caught.value)


def test_dotted_names_replace_and_leave_the_base_alone(tmp_path: Path) -> None:
    base = settings(tmp_path)
    changed = replaced(base, {"augment.erase": 0.9, "epochs": 7})
    assert (changed.augment.erase, changed.epochs) == (0.9, 7)
    assert base.augment.erase == 0.2


def test_a_trial_that_falls_behind_is_pruned_and_its_run_is_closed(tmp_path: Path) -> None:
    params = TuneParams(
        space={"learning_rate": Range(choices=[1e-7])},  # it learns nothing
        storage=f"sqlite:///{tmp_path}/optuna.db", trials=1, epochs=3, warmup_epochs=0, output=str(tmp_path / "tune"),
    )  # fmt: skip
    base, data = settings(tmp_path), shapes()
    study = open_study(params, study_name(params, base, data))
    for _ in range(4):  # so many whole trials come before the first that may be pruned; these learned well
        study.add_trial(optuna.trial.create_trial(
            params={"learning_rate": 1e-7},
            distributions={"learning_rate": optuna.distributions.CategoricalDistribution((1e-7,))},
            value=0.9, intermediate_values=dict.fromkeys((1, 2, 3), 0.9),
        ))  # fmt: skip
    last = tune(params, base, data).trials[-1]
    assert last.state == optuna.trial.TrialState.PRUNED
    assert len(last.intermediate_values) < 3
    (run,) = (tmp_path / "tune").glob("trial-*/run.json")
    assert MlflowClient(base.tracking_uri).get_run(json.loads(run.read_text())["run_id"]).info.status == "KILLED"


def test_a_diverged_trial_is_noted_as_failed_and_the_search_goes_on(tmp_path: Path) -> None:
    params = TuneParams(
        space={"learning_rate": Range(choices=[1000.0])}, storage=f"sqlite:///{tmp_path}/optuna.db", trials=2, epochs=1,
        output=str(tmp_path / "tune"),
    )  # fmt: skip
    study = tune(params, settings(tmp_path, schedule="constant"), shapes())
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.FAIL] * 2
    assert not (tmp_path / "tune" / "best.yaml").exists()


def test_other_data_another_space_or_other_settings_are_another_study(tmp_path: Path) -> None:
    params = TuneParams(space={"learning_rate": Range(low=0.02, high=0.2)}, storage=f"sqlite:///{tmp_path}/optuna.db")
    base, data = settings(tmp_path), shapes()
    space, wider = params.space | {"seed": Range(choices=[1, 2])}, {"learning_rate": Range(low=0.02, high=0.4)}
    labels = data.labels.copy()
    labels[:2] = labels[1::-1]
    names = [
        study_name(params, base, data),
        study_name(params, base, dataclasses.replace(data, labels=labels)),
        study_name(msgspec.structs.replace(params, space=space), base, data),
        study_name(msgspec.structs.replace(params, space=wider), base, data),
        study_name(msgspec.structs.replace(params, epochs=11), base, data),
        study_name(params, msgspec.structs.replace(base, batch_size=31), data),
    ]
    assert len(set(names)) == len(names)
    assert all(name.startswith("edgewise-") for name in names)
    elsewhere = msgspec.structs.replace(base, output="elsewhere", tracking_uri="http://other", epochs=99)
    more = msgspec.structs.replace(params, trials=99, output="elsewhere")
    assert study_name(more, elsewhere, data) == names[0]  # as on another machine
    open_study(params, names[0]).add_trial(optuna.trial.create_trial(value=0.9))
    assert [len(open_study(params, name).trials) for name in names[:2]] == [1, 0]


@pytest.mark.parametrize("storage", ["nowhere", "postgresql://me:secret@127.0.0.1:1/none", "oracle://me:secret@host/x",
                                     "postgresql://127.0.0.1:1/x?user=me&password=secret"])  # fmt: skip
def test_a_storage_that_cannot_be_used_is_named_without_its_password(storage: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be used .*name a SQLAlchemy URL") as caught:
        open_study(TuneParams(space={}, storage=storage), "any")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds; several starts of TensorFlow on a busy machine
def test_two_searches_share_one_study_on_postgresql_and_never_try_the_same_twice(
    postgresql: str, tmp_path: Path
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({
        "train": {
            "network_options": {"stem": 4, "widths": [8], "depths": [1]}, "batch_size": 30,
            "dataset": str(tmp_path / "dataset.npz"),
        },
        "tune": {
            "study": "shared", "storage": postgresql, "trials": 3, "epochs": 1, "output": str(tmp_path / "tune"),
            "space": {"learning_rate": {"low": 0.01, "high": 0.2, "log": True}},
        },
    }))  # fmt: skip
    # Tables and study are made once; two that begin with nothing would both make them.
    named = load_section(params, "tune", TuneParams)
    study = open_study(named, study_name(named, load_section(params, "train", TrainParams), shapes()))
    command = [sys.executable, "-m", "train.tune", "--params", str(params)]
    searches = [  # as on two machines: each with runs and folders of its own
        subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, "MLFLOW_TRACKING_URI": new_store(tmp_path, f"{name}.db")}
        )
        for name in ("one", "two")
    ]
    assert [search.wait() for search in searches] == [0, 0]
    assert sorted(trial.number for trial in study.trials) == list(range(6))
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 6
