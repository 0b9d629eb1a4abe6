"""`edgewise simulate devices` as a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_contract.errors import ExitCode
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import ReleaseSide

COMMAND = [sys.executable, "-c", "from edge_fleet.cli import main; main()", "simulate", "devices"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_devices_come_and_go_and_the_last_line_says_how_they_stood(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        side = ReleaseSide(tmp_path / "fleet", broker.port)
        (side.directory / "root.json").write_bytes((side.directory / "metadata" / "1.root.json").read_bytes())
        where = ("--repository", str(side.directory), "--broker", f"mqtt://127.0.0.1:{broker.port}")
        done = run("3", "--seconds", "3", "--json", *where)
        assert done.returncode == ExitCode.OK, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == {"devices": 3, "states": {"idle": 3}}
        empty = run("3", "--like-fleet", "--seconds", "1", "--repository", str(side.directory), *where[2:])
        assert empty.returncode == ExitCode.OK  # those three are still known, offline
    assert "Traceback" not in done.stderr + empty.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("0",), "greater than or equal to 1"),
        (("3", "--prefix", "Not An Id"), "is not usable"),
        (("3", "--group", "a/b"), "is not usable"),
        (("3", "--loss", "2"), "less than or equal to 1"),
        (("3", "--behave", "worse:0.1"), "--behave DIGEST="),
        (("3", "--behave", "abc=odd"), "no way for a model to behave"),
        (("3", "--scene", "odd:5%"), "is no scene"),
        (("3", "--repository", "/nowhere"), "edgewise keys init"),
    ],
)
def test_what_cannot_be_simulated_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr
    assert "Traceback" not in done.stderr
