"""What a rollout would do: the real controller and the real plan on simulated devices, in fast time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_contract.errors import ExitCode
from edge_fleet.releases.desired import DesiredStates
from tests.agent.update.update_bench import ReleaseSide, tiny

COMMAND = [sys.executable, "-c", "from edge_fleet.cli import main; main()", "simulate", "rollout"]
PLAN = """
waves = ["1", "100%"]
behaves = false
[shadow]
faces = 60
share = "100%"
agreement = "60%"
shift = "30%"
less_sure = "40%"
swapped = "50%"
slower = "40%"
failures = "20%"
[healthy]
soak = "2m"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose group runs tiny 1; there is no broker."""
    side = ReleaseSide(tmp_path / "fleet", 1)
    for release in (1, 2):
        side.releases.add(tiny(release))
    DesiredStates(side.repository).issue("group/shop", tiny(1).manifest.ref)
    return side.directory


def rehearse(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    plan = folder / "plan.toml"
    plan.write_text(PLAN)
    where = ("--repository", str(folder), "--plan", str(plan), "--group", "shop", "--json", "--speed", "60")
    return subprocess.run(
        [*COMMAND, "tiny", *arguments, *where], capture_output=True, text=True, timeout=110, check=False
    )


@pytest.mark.parametrize(
    ("behaves", "phase", "code", "runs"),
    [
        pytest.param("good", "completed", ExitCode.OK, 4, marks=pytest.mark.slow),  # a soak, sixty times as fast
        ("fails:0.9", "halted", ExitCode.ROLLOUT_HALTED, 0),
    ],
)
def test_a_plan_is_carried_out_to_its_end_and_a_bad_release_would_halt(
    folder: Path, behaves: str, phase: str, code: ExitCode, runs: int
) -> None:
    done = rehearse(folder, "2", "--devices", "4", "--behaves", behaves, "--faces", "0.2")
    assert done.returncode == code, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["devices"], told["phase"], told["runs"]) == (4, phase, runs)
    assert phase == "halted" or told["shadow_faces"] >= 60
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("3", "--devices", "4"), "is not released"),
        (("1", "--devices", "4"), "is to run tiny 1 already"),
        (("2",), "--like-fleet"),
        (("2", "--devices", "4", "--behaves", "odd"), "no way for a model to behave"),
    ],
)
def test_what_cannot_be_rehearsed_is_one_sentence(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = rehearse(folder, *arguments)
    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr
    assert "Traceback" not in done.stderr
