"""`make retrain` up to where it trains: what it refuses, and its own checkout (tests/train/test_retrain.py goes on)."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from convert import retrain, summary
from convert.checks import gate_record
from convert.checks.gate_record import GateRecord
from convert.retraining import record, workspace
from convert.retraining.record import Record, Request, Result
from convert.retraining.workspace import Workspace
from edge_contract.manifest import GateResult
from tests.convert.checks.test_decision import SOUND
from tests.train.checkout import run
from tests.train.data.field_folder import row, write_field

NAMES = ("RETRAIN_CAUSE", "RETRAIN_FIELD", "RETRAIN_RUN", "RETRAIN_CHAMPION", "MLFLOW_TRACKING_URI")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the parameters, a champion and something where the data are."""
    shutil.copy("params.yaml", tmp_path / "params.yaml")
    shutil.copy(Path(__file__).parents[1] / "fixtures" / "tiny-1.ewm", tmp_path / "champion.ewm")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.npz").write_bytes(b"data")
    (tmp_path / "data" / "report.json").write_text('{"source": "synthetic:7"}')
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RETRAIN_CHAMPION", "champion.ewm")
    monkeypatch.setenv("RETRAIN_RUN", "night-1")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RETRAIN_CAUSE", "covered", "needs a person"),
        ("RETRAIN_CAUSE", "fog", "RETRAIN_CAUSE is `fog`"),
        ("RETRAIN_RUN", "../x", "RETRAIN_RUN is `../x`"),
        ("RETRAIN_FIELD", "nowhere", "nowhere/labels.csv cannot be read"),
        ("RETRAIN_CHAMPION", "nowhere.ewm", "nowhere.ewm cannot be read"),
        ("RETRAIN_CHAMPION", "", "no champion is named"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_begins_nothing(
    name: str, value: str, said: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (place / "params.yaml").read_bytes()
    monkeypatch.setenv(name, value)
    assert retrain.main([]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert not (place / "build" / "retrain" / "night-1").exists()
    assert (place / "params.yaml").read_bytes() == before


def test_two_at_once_are_one_too_many(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "build" / "retrain").mkdir(parents=True)
    with (place / "build" / "retrain" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert retrain.main([]) == 1
    assert "another retraining runs in this checkout" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["passed", "refused"])
def test_an_id_that_ended_says_its_result_again(
    state: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Result(reasons=("worse",)) if state == "refused" else Result(package="p.ewm", name="p", release=2)
    request = Request(cause="dark", field_digest="", champion="c", base="b")
    folder = place / "build" / "retrain" / "night-1"
    record.write(Record(request=request, name="p", release=2, state=state, result=result), folder)  # type: ignore[arg-type]
    monkeypatch.setenv("RETRAIN_CAUSE", "dark")
    assert retrain.main([]) == (3 if state == "refused" else 0)
    assert capsys.readouterr().out.splitlines()[-1] == record.line(result)
    monkeypatch.setenv("RETRAIN_CAUSE", "far")
    assert retrain.main([]) == 2


def test_its_checkout_is_a_clone_with_the_parameters_as_they_are_and_what_it_changes_stays_there(place: Path) -> None:
    run(place, "git", "init", "--quiet")
    run(place, sys.executable, "-m", "dvc", "init", "--quiet")
    (place / ".gitignore").write_text("/build/\n/data/\n")
    (place / "params.yaml").write_text("train:\n  epochs: 3  # of them\n  seed: 1\n")
    run(place, "git", "add", "--all")
    run(place, "git", "commit", "--quiet", "-m", "first")
    (place / "params.yaml").write_text("train:\n  epochs: 4  # of them\n  seed: 1\n")  # not committed
    own = Workspace(place, place / "build" / "retrain" / "night-1" / "tree", "sqlite:////nowhere")
    own.make()
    write_field(place / "field", [row(0)])
    own.place(place / "field", workspace.FIELD)
    own.place(place / "data" / "dataset.npz", workspace.BASE)
    own.change({"train": {"epochs": 9}})
    assert (own.tree / "params.yaml").read_text() == "train:\n  epochs: 9  # of them\n  seed: 1\n"
    assert yaml.safe_load((place / "params.yaml").read_text())["train"]["epochs"] == 4
    assert (own.tree / workspace.FIELD / "labels.csv").is_file()
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=own.tree, capture_output=True, text=True, check=True
    )
    assert Path(said.stdout.strip()).resolve() == (place / ".dvc" / "cache").resolve()
    (own.tree / "half").write_text("done")
    own.make()  # again: what is there stays
    assert (own.tree / "half").exists()
    own.remove()
    assert not own.tree.exists()
    assert (place / "field" / "labels.csv").is_file()  # a link was removed, not the labels


def test_the_summary_shows_figures_checks_and_reasons_and_nothing_in_them_is_markup(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "labels of <b>x</b>: | [click](http://x)"
    judged = GateRecord(
        digest="a" * 64, split="test", n=10, measurements=SOUND,
        result=GateResult(passed=False, reasons=(reason,), checks={"field": 3, "skew": None, "accuracy": 0.7}),
    )  # fmt: skip
    folder = place / "build" / "retrain" / "night-1"
    request = Request(cause="", field_digest="", champion="c", base="b")
    record.write(Record(request=request, name="p", release=2, state="refused"), folder)
    gate_record.write(judged, folder)
    (folder / "history.json").write_text('[{"selection_accuracy": 0.5}, {"selection_accuracy": 0.6}]')
    assert summary.main([]) == 0
    page = capsys.readouterr().out
    assert "## Retraining night-1" in page
    assert "**Gate: REFUSED**" in page
    assert "<b>" not in page
    assert "[click]" not in page
    assert "line [50.0, 60.0]" in page
    assert "| skew | not run |" in page
