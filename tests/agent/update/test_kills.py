"""A device killed at every step of an update, in a process of its own: it always comes back with a whole model."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import json

from edge_agent.models.slots import Slots
from edge_agent.update.machine import SETTLED, State, running
from edge_agent.update.store import StateStore
from edge_contract.messages import Reported
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import FIXTURES, ReleaseSide, tiny

REPOSITORY = FIXTURES.parents[1]
WALK = ["offered", "downloading", "verifying", "staged", "selftest", "activating", "probation", "committed"]


@contextmanager
def victim(folder: Path, port: int, *kill: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tests.agent.update.update_victim", str(folder), str(port), *kill]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def survived(folder: Path) -> State:
    """Read what is on the disk as the next start will: what has to run must be whole."""
    store = StateStore(folder / "state.db")
    state = store.update() or State()
    store.close()
    slots = Slots(folder, FIXTURES / "tiny-1.ewm")
    slot = running(state)
    model = slots.load(slot) if slot is not None else slots.load_factory()
    assert model is not None
    if (folder / "current").is_symlink():
        assert slots.current() is not None
    return state


def settled(process: "subprocess.Popen[bytes]") -> Reported:
    """The first report that says that the update ended."""
    assert process.stdout is not None
    for line in process.stdout:
        reported = json.decode(line, type=Reported)
        if reported.target is not None and reported.state in {"committed", "rejected", "rolled-back"}:
            return reported
    pytest.fail("the device ended without a settled report")


def reported_as(process: "subprocess.Popen[bytes]", state: str) -> Reported:
    """The first report of this state."""
    assert process.stdout is not None
    for line in process.stdout:
        reported = json.decode(line, type=Reported)
        if reported.state == state:
            return reported
    pytest.fail(f"the device ended without a report of {state}")


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    side = ReleaseSide(tmp_path / "fleet", broker.port)
    (tmp_path / "root.json").write_bytes(side.repository.first_root())
    side.push(tiny(2))
    return side


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_every_transition_of_one_update_it_still_ends_committed(
    tmp_path: Path, side: ReleaseSide, moment: str
) -> None:
    folder = tmp_path / "device"
    for phase in WALK:
        with victim(folder, side.port, phase, moment) as process:
            assert process.wait(90) == -9, f"not killed {moment} {phase}"
        state = survived(folder)
        assert (state.phase == phase) == (moment == "after")
    with victim(folder, side.port) as process:
        reported = settled(process)
    assert (reported.state, reported.active) == ("committed", tiny(2).manifest.ref)


def test_killed_again_and_again_in_probation_it_gives_the_model_up_and_keeps_the_old_one(
    tmp_path: Path, side: ReleaseSide
) -> None:
    folder = tmp_path / "device"
    for boots in range(4):
        with victim(folder, side.port, "probation", "after") as process:
            assert process.wait(90) == -9
        assert survived(folder).boots == boots
    with victim(folder, side.port) as process:
        reported = settled(process)
    assert "did not survive 3 starts" in reported.reason
    assert reported.active == tiny(1).manifest.ref


def test_killed_around_the_shadow_it_is_in_shadow_again_and_then_answers(tmp_path: Path, broker: Broker) -> None:
    side, folder = ReleaseSide(tmp_path / "fleet", broker.port), tmp_path / "device"
    (tmp_path / "root.json").write_bytes(side.repository.first_root())
    challenger = side.wave(tiny(1), tiny(2), "shadow")
    for moment in ("before", "after"):
        with victim(folder, side.port, "shadowing", moment) as process:
            assert process.wait(90) == -9
        state = survived(folder)
        assert (state.phase == "shadowing") == (moment == "after")
    with victim(folder, side.port) as process:
        first = reported_as(process, "shadowing")
        assert first.target == challenger
        side.wave(tiny(1), tiny(2), "active")
        reported = settled(process)
    assert (reported.state, reported.active) == ("committed", challenger)


def test_killed_again_and_again_in_shadow_the_challenger_is_given_up_and_what_answers_stays(
    tmp_path: Path, broker: Broker
) -> None:
    side, folder = ReleaseSide(tmp_path / "fleet", broker.port), tmp_path / "device"
    (tmp_path / "root.json").write_bytes(side.repository.first_root())
    side.wave(tiny(1), tiny(2), "shadow")
    for boots in range(4):
        with victim(folder, side.port, "shadowing", "after") as process:
            assert process.wait(90) == -9
        assert survived(folder).boots == boots
    with victim(folder, side.port) as process:
        reported = settled(process)
    assert (reported.state, reported.active) == ("rejected", tiny(1).manifest.ref)
    assert "did not survive 3 starts" in reported.reason


@pytest.mark.slow
def test_killed_at_any_time_while_releases_come_and_go_it_never_loses_its_model(
    tmp_path: Path, side: ReleaseSide
) -> None:
    folder, chance = tmp_path / "device", random.Random(20261123)  # noqa: S311  # when to kill
    folder.mkdir()
    kills = 60
    for number in range(kills):
        if number % 6 == 0:
            side.push(tiny(1 + number // 6 % 2))
        with victim(folder, side.port) as process, pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.3, 1.6))
        if (folder / "state.db").exists():
            survived(folder)
    last = side.push(tiny(2))
    with victim(folder, side.port) as process:
        while (reported := settled(process)).target != last:
            pass
    # Kills that met one trial too often may have condemned the release; then the one before still runs.
    assert reported.active == last or "did not survive" in reported.reason
    assert survived(folder).phase in SETTLED
