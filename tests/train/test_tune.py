"""The search is shared, pruned, and found again; its best is a params file that the trainer takes."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from tests.train.test_fit import settings
from train.params import load_section
from train.settings import TrainParams
from train.tune import Range, TuneParams, replaced, tune


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
        ("epochs", Range(choices=["many"]), "Expected `int`"),
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
