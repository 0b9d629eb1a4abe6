"""Trainings on this machine: real processes, known again by their run, never two, gone when they are ended."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_contract.messages import ModelRef
from edge_fleet.loop.actions import local, local_child
from edge_fleet.loop.actions.local import LocalAction
from edge_fleet.loop.actions.local_child import GROUP, LOG, RESULT
from edge_fleet.loop.actions.outcome import Broken, Made, Refused, Request, parse, result_of
from tests.eventually import eventually

REQUEST = Request("emotion-run-1", "dark", "/field")
LINE = {"package": "models/emotion-6.ewm", "name": "emotion", "release": 6, "digest": "6" * 64}
PRINTS = "import json, os, sys\nprint('an epoch', flush=True)\nprint('a warning', file=sys.stderr)\n"


class Bench:
    """A folder in which a program trains."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "train.py"
        self.actions: list[LocalAction] = []

    def action(self, text: str = "", seconds: float = 600.0, **environ: str) -> LocalAction:
        if text:
            self.program.write_text(text)
        found = LocalAction(
            (sys.executable, str(self.program)), self.folder, self.folder / "loop", seconds, os.environ | environ
        )
        self.actions.append(found)
        return found

    @property
    def run(self) -> Path:
        return self.folder / "loop" / REQUEST.run


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for each in bench.actions:
        each.end(REQUEST.run)


def until_over(action: LocalAction) -> object:
    eventually(lambda: action.look(REQUEST) != "running", "the training ended")
    return action.look(REQUEST)


def test_what_a_training_prints_last_as_json_is_its_result_and_all_of_it_the_log(bench: Bench) -> None:
    said = LINE | {"measured": {"accuracy_after": 0.7, "field_accuracy_before": None, "n": 3}}
    asked = "print({k: v for k, v in os.environ.items() if k[:8] == 'RETRAIN_' or 'TOKEN' in k})\n"
    action = bench.action(
        PRINTS + asked + f"print(json.dumps({said!r}))\nprint('make: Leaving directory')\n",
        EDGEWISE_LOOP_TOKEN="secret",  # noqa: S106
    )
    assert action.look(REQUEST) == "absent"
    action.begin(REQUEST)
    made = until_over(action)
    assert made == Made(
        str(bench.folder / "models/emotion-6.ewm"),
        ModelRef(name="emotion", release=6, digest="6" * 64),
        {"accuracy_after": 0.7, "n": 3.0},
    )
    log = (bench.run / LOG).read_text()
    assert "an epoch" in log
    assert "a warning" in log
    assert "'RETRAIN_CAUSE': 'dark'" in log
    assert "'RETRAIN_FIELD': '/field'" in log
    assert "'RETRAIN_RUN': 'emotion-run-1'" in log
    assert "secret" not in log


@pytest.mark.parametrize("status", [3, 2])
def test_a_refusal_of_the_gate_is_told_with_its_reasons_also_through_make(bench: Bench, status: int) -> None:
    action = bench.action(PRINTS + f"print(json.dumps({{'reasons': ['it lost 3 points']}}))\nsys.exit({status})\n")
    action.begin(REQUEST)
    assert until_over(action) == Refused(("it lost 3 points",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys\nsys.exit(1)\n", "the training ended with 1 without a package; see "),
        ("print('done')\n", "the training ended with 0 without a package; see "),
        ("print('{}')\n", "its result is not what `make retrain` prints"),
        (f"print('''{json.dumps(LINE)}''')\nraise SystemExit(1)\n", "ended with 1 without a package"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "ended with -9"),
    ],
)
def test_a_training_that_broke_says_where_to_look(bench: Bench, text: str, why: str) -> None:
    action = bench.action(text)
    action.begin(REQUEST)
    found = until_over(action)
    assert isinstance(found, Broken)
    assert why in found.why


def test_a_command_that_is_not_there_is_a_sentence(bench: Bench) -> None:
    action = LocalAction(("no-such-program",), bench.folder, bench.folder / "loop", 60.0, os.environ)
    action.begin(REQUEST)
    assert "no-such-program cannot be started" in str(until_over(action))


WAITS = "import time, pathlib\npathlib.Path('started').touch()\ntime.sleep(600)\n"


def test_a_restarted_loop_finds_the_training_that_goes_on_and_begins_no_second(bench: Bench) -> None:
    bench.action(WAITS).begin(REQUEST)
    after = bench.action()
    assert after.look(REQUEST) == "running"
    group = (bench.run / GROUP).read_bytes()
    with pytest.raises(Exception, match="did not begin"):
        after.begin(REQUEST)  # whatever asks: the lock is the other's
    (bench.run / GROUP).write_bytes(group)
    assert after.look(REQUEST) == "running"


def alive(group: int) -> list[str]:
    """Processes of a group that are more than an entry in the system's table."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(of) == group and state != "Z":
                found.append(str(stat))
    return found


def test_what_is_ended_is_gone_with_all_that_it_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    child = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {WAITS!r}]).wait()\n"
    action = bench.action("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + child)
    action.begin(REQUEST)
    eventually((bench.folder / "started").exists, "its own child runs")
    group = int((bench.run / GROUP).read_bytes())
    assert alive(group)
    action.end(REQUEST.run)
    assert alive(group) == []
    action.end(REQUEST.run)


def test_where_its_first_process_is_killed_the_rest_still_counts_as_running(bench: Bench) -> None:
    action = bench.action(WAITS)
    action.begin(REQUEST)
    eventually((bench.folder / "started").exists, "it runs")
    os.kill(int((bench.run / GROUP).read_bytes()), signal.SIGKILL)
    time.sleep(0.1)
    assert action.look(REQUEST) == "running"
    action.end(REQUEST.run)
    assert action.look(REQUEST) == "absent"  # and may be begun again under the same id


def test_a_training_that_takes_too_long_is_ended_by_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    action = bench.action(WAITS, seconds=1.0)
    action.begin(REQUEST)
    assert "it took longer than" in str(until_over(action))


def test_a_result_that_was_damaged_is_a_sentence(bench: Bench) -> None:
    action = bench.action("")
    bench.run.mkdir(parents=True)
    (bench.run / RESULT).write_bytes(b"{")
    assert "cannot be read" in str(action.look(REQUEST))


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_child, "LOG_BYTES", 100)
    with (tmp_path / "log").open("ab") as file:
        log = local_child._Log(file)
        for _ in range(20):
            log.write(b"x" * 30)
    assert (tmp_path / "log").stat().st_size == 100


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b'{"package": ""}', json.dumps(LINE | {"name": "Emotion 6"}).encode(),
        json.dumps(LINE | {"digest": "6"}).encode(), json.dumps(LINE | {"release": 0}).encode(), b'{"reasons": "no"}',
        json.dumps(LINE | {"x": "y" * 70_000}).encode(), b"[" * 1000, json.dumps(LINE | {"release": 2**31}).encode(),
    ],
)  # fmt: skip
def test_a_line_that_is_no_result_is_refused(line: bytes) -> None:
    with pytest.raises(Exception, match="result"):
        parse(line)


def test_figures_that_are_none_are_left_out() -> None:
    made = parse(json.dumps(LINE | {"measured": {"a": 1e300, "b": True, "c": "x", "d": 0.5}}).encode())
    assert isinstance(made, Made)
    assert made.measured == {"d": 0.5}


def test_three_without_a_reason_is_a_refusal_all_the_same() -> None:
    assert result_of(3, b"", "log") == Refused(("no reason given",))
    assert isinstance(result_of(0, b'{"reasons": []}', "log"), Broken)
