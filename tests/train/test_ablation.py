"""The ablation table shows logged runs of this very data, and of each what it changed."""

import contextlib
import dataclasses
import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.mlflow_store import new_store
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.ablation import Trained, as_markdown, chosen, main
from train.data.dataset import save
from train.fit import fit


def run(name: str, accuracy: float = 0.5, **params: str) -> Trained:
    return Trained(name, f"{name}-id", {"network": "edge_cnn", **params}, 3, accuracy, 120.0, 900.0)


def test_each_row_names_only_what_differs_from_the_first() -> None:
    table = as_markdown(
        [run("plain", epochs="3", output="a"), run("erased", 0.6, epochs="3", output="b", **{"augment.erase": "0.5"})],
        n=1000,
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows[0][:4] == ["plain", "edge_cnn", "3", "50.00 [46.91, 53.09]"]
    assert rows[1][:2] == ["erased", "augment.erase 0.5"]
    assert rows[1][4:] == ["2", "900", "`erased-i`"]


def test_a_run_scored_on_fewer_pictures_says_so_and_has_the_wider_interval() -> None:
    rows = as_markdown([run("all"), dataclasses.replace(run("few"), n=100)], n=1000).splitlines()[2:]
    assert "50.00 [46.91, 53.09] |" in rows[0]
    assert "50.00 [40.38, 59.62], n = 100 |" in rows[1]


def test_the_newest_run_of_a_name_counts_and_an_unknown_one_is_refused_with_the_nearest() -> None:
    newest_first = [run("edge", 0.7), run("wide"), run("edge", 0.6)]
    assert [(each.name, each.accuracy) for each in chosen(newest_first, [])] == [("wide", 0.5), ("edge", 0.7)]
    assert [each.name for each in chosen(newest_first, ["edge", "wide"])] == ["edge", "wide"]
    with pytest.raises(UsageError, match=r"no finished run `egde`.*did you mean `edge`"):
        chosen(newest_first, ["egde"])


@pytest.mark.parametrize(
    ("schema", "said"),
    [("bda7b8c39065", "was written by an older MLflow"), ("ffffffffffff", "was written by a newer MLflow")],
)
def test_a_store_of_another_mlflow_s_schema_is_one_sentence(
    schema: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    uri = new_store(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    assert main(["--dataset", str(tmp_path / "dataset.npz"), "--tracking-uri", uri]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("MLflow at sqlite:///")
    assert said in last


@pytest.mark.slow
def test_the_command_reads_what_training_logged_and_leaves_out_other_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shapes()
    save(data, tmp_path / "dataset.npz")
    base = settings(tmp_path, epochs=1, experiment="tried")
    for name, rate in (("slow", 0.01), ("fast", 0.1)):
        fitted = fit(msgspec.structs.replace(base, learning_rate=rate, output=str(tmp_path / name)), data)
    other = msgspec.structs.replace(base, output=str(tmp_path / "elsewhere"))
    fit(other, dataclasses.replace(data, source_digest="other source"))
    capsys.readouterr()
    given = ["--experiment", "tried", "--dataset", str(tmp_path / "dataset.npz"), "--tracking-uri", base.tracking_uri]
    assert main([*given, "slow", "fast"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["slow", "fast"]
    assert "learning_rate 0.1" in rows[1]
    assert f"{100 * fitted.selection.accuracy.value:.2f} [" in rows[1]
    assert "n = " not in rows[1]
    less = dataclasses.replace(data, split=np.where(np.arange(len(data.split)) % 48 == 18, 0, data.split))
    save(less, tmp_path / "dataset.npz")  # the split that is listed has changed since
    assert main([*given, "fast"]) == 0
    assert f"n = {fitted.selection.n} |" in capsys.readouterr().out
    assert main([*given, "elsewhere"]) == 2
    assert main(["--experiment", "trid", *given[2:]]) == 2
    assert "did you mean `tried`?" in capsys.readouterr().err
