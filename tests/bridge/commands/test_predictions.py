"""`edgewise predictions` as it is typed: one command says what a camera answered between two times."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_bridge.commands.predictions import app
from edge_bridge.storage.store import Batch, LoggedPrediction, Store
from edge_contract.errors import UsageError
from tests.bridge.publisher import prediction

Run = Callable[..., str]
AT = 1_790_000_000.0  # 2026-09-21T14:13:20Z


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with a log of three predictions; what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEWISE_DATABASE", raising=False)
    store = Store("sqlite:///predictions.db")
    store.open(1.0)
    labels = ("happy", "sad", "\x1b[31mred")
    made = [prediction("cam-1", (5, n), time=AT + n, label=labels[n - 1]) for n in (1, 2, 3)]
    store.write(Batch([LoggedPrediction(each, AT + 60.0) for each in made], {}, {}, {}))
    store.close()

    def running(*arguments: str) -> str:
        capsys.readouterr()
        app(list(arguments), standalone_mode=False)
        return capsys.readouterr().out

    return running


def test_one_command_says_what_a_camera_answered_between_two_times_under_which_model(run: Run) -> None:
    between = ("--device", "cam-1", "--from", "2026-09-21T14:13:20Z", "--to", "2026-09-21T14:13:23Z", "--utc")
    text = run("query", *between)
    lines = text.splitlines()
    assert lines[1].split() == ["2026-09-21", "14:13:21", "cam-1", "home", "emotion-2", "happy", "0.93", "1", "4.1"]
    assert lines[-1] == "2 predictions. Times: UTC, by the camera's clock."
    tally = run("query", *between, "--by", "model", "--by", "label")
    assert tally.splitlines()[1].split()[:5] == ["emotion-2", "happy", "1", "50.0%", "0.93"]


def test_json_is_for_programs(run: Run) -> None:
    answer = json.loads(run("query", "--device", "cam-1", "--limit", "1", "--json"))
    assert (answer["count"], [each["sequence"] for each in answer["predictions"]]) == (3, [3])
    assert answer["predictions"][0]["received"] == AT + 60
    tally = json.loads(run("query", "--by", "label", "--json"))
    assert {each["label"]: each["count"] for each in tally["tally"]} == {"happy": 1, "sad": 1, "\x1b[31mred": 1}


def test_what_a_model_calls_its_labels_moves_no_cursor(run: Run) -> None:
    assert "\x1b" not in run("query") + run("query", "--by", "label")


def test_an_export_names_its_file_and_goes_to_standard_output_on_request(run: Run, tmp_path: Path) -> None:
    assert run("export", "--csv", "log.csv", "--label", "sad") == "1 prediction written to log.csv.\n"
    assert (tmp_path / "log.csv").read_text().count("cam-1") == 1
    assert run("export", "--csv", "-").count("cam-1") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export",), "an export is one file; give --csv FILE or --parquet FILE."),
        (("export", "--csv", "a", "--parquet", "b"), "an export is one file"),
        (("query", "--from", "2h", "--to", "3h"), "--from is not before --to"),
        (("query", "--from", "noon"), "--from 'noon' is no time"),
        (("query", "--database", "mysql://h/d"), "database is one of mysql"),
        (("query", "--database", "postgresql://u:p@h/d"), "a database URL with a password belongs in no file or"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as error:
        run(*arguments)
    assert said in str(error.value)


def test_listing_the_nouns_of_edgewise_loads_no_database() -> None:
    """Who has only the release side installed has no SQLAlchemy, and every `edgewise` imports this module."""
    code = "import sys, edge_bridge.commands.predictions; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
