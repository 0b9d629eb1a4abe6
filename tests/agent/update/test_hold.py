"""Holds on site and update windows: what they say, what they keep from running, and what never waits."""

import contextlib
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent import settings_file
from edge_agent.tools import doctor, status
from edge_agent.update import hold
from edge_agent.update.events import Target
from edge_agent.update.hold import Hold
from edge_agent.update.hours import is_open
from edge_agent.update.machine import Phase, State
from edge_agent.update.patience import Patience, obstacle
from edge_agent.update.store import StateStore
from edge_contract.errors import EdgewiseError, UsageError
from tests.agent.update.test_machine import BASE, slot, target
from tests.conftest import REPOSITORY

NOW = datetime(2026, 11, 28, 12, 0).timestamp()  # noqa: DTZ001  # the device's local time
STAGED = replace(BASE, phase=Phase.STAGED, trial=slot(2))


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 28, hour, minute)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("windows", "opened", "closed"),
    [
        ("", [at(0), at(12)], []),
        ("02:00-05:00", [at(2), at(4, 59)], [at(1, 59), at(5), at(14)]),
        ("22:30-05:00", [at(22, 30), at(23, 59), at(0), at(4, 59)], [at(22, 29), at(5), at(12)]),
        ("02:00-05:00,12:00-13:00", [at(3), at(12, 30)], [at(6), at(13)]),
        ("02:00-05:00, 12:00-13:00", [at(3), at(12, 30)], [at(6), at(13)]),
        ("06:00-06:00", [at(6), at(5, 59), at(0)], []),
    ],
)
def test_when_a_window_is_open(windows: str, opened: list[datetime], closed: list[datetime]) -> None:
    assert all(is_open(windows, moment) for moment in opened)
    assert not any(is_open(windows, moment) for moment in closed)


@given(st.times(), st.times(), st.times())
def test_a_window_and_the_one_from_its_end_to_its_begin_share_no_moment_and_leave_none_out(
    one: "datetime", other: "datetime", now: "datetime"
) -> None:
    begin, end = (f"{moment.hour:02}:{moment.minute:02}" for moment in (one, other))
    moment = at(now.hour, now.minute)
    if begin != end:
        assert is_open(f"{begin}-{end}", moment) != is_open(f"{end}-{begin}", moment)


@pytest.mark.parametrize(
    "window", ["2:00-5:00", "02:00", "02:00-25:00", "02:60-03:00", "02:00-05:00;", "at night", "02:00 - 05:00"]
)
def test_a_window_that_is_none_is_refused_in_words(tmp_path: Path, window: str) -> None:
    with pytest.raises(UsageError, match=r"window.*hours of the day such as") as refused:
        settings_file.from_document({"update": {"window": window}}, tmp_path / "agent.toml", {"HOME": "/nowhere"})
    assert "regex" not in str(refused.value)


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        (None, None),
        ("90m", 5400),
        ("12h", 43200),
        ("3d", 259200),
        ("2026-11-28T18:00", 21600),
        ("2026-11-28 12:01", 60),
    ],
)
def test_until_when_a_hold_lasts(until: str | None, seconds: int | None) -> None:
    assert hold.of(until, "an event", NOW) == Hold(
        since=NOW, until=None if seconds is None else NOW + seconds, reason="an event"
    )


@pytest.mark.parametrize(
    ("until", "reason", "says"),
    [
        ("soon", "", "neither a duration nor a time"),
        ("", "", "neither a duration nor a time"),
        ("-3h", "", "neither a duration nor a time"),
        ("2026-11-28T11:59", "", "is over"),
        ("0m", "", "is over"),
        ("999999d", "", "more than a year away"),
        ("9999-01-01", "", "more than a year away"),
        ("0001-01-01", "", "is over|neither"),
        (None, "a\nb", "one line"),
        (None, "x" * 201, "one line of at most 200"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_refused(until: str | None, reason: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        hold.of(until, reason, NOW)
    assert refused.value.remedy


@given(st.text(max_size=30))
def test_any_time_is_understood_or_refused(until: str) -> None:
    with contextlib.suppress(UsageError):
        assert hold.of(until, "", NOW).until is not None


def ran_on(state_dir: Path) -> Path:
    """An agent has run there."""
    StateStore(state_dir / hold.DATABASE).close()
    return state_dir


def test_a_hold_is_in_force_until_it_ends_or_is_taken_back(tmp_path: Path) -> None:
    ran_on(tmp_path)
    assert hold.read(tmp_path, NOW) is None
    assert not hold.take_back(tmp_path)
    kept = Hold(since=NOW, until=NOW + 60, reason="wedding")
    hold.write(tmp_path, kept)
    assert hold.read(tmp_path, NOW + 59) == kept
    assert (tmp_path / hold.FILE).stat().st_mode & 0o777 == 0o644  # also where an administrator wrote it
    assert hold.read(tmp_path, NOW + 60) is None
    hold.write(tmp_path, replace(kept, until=None))
    assert hold.read(tmp_path, NOW + 1e9) == replace(kept, until=None)
    assert hold.take_back(tmp_path)
    assert hold.read(tmp_path, NOW) is None


DAMAGED = [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"since":1,"reason":"a\\nb"}', b'{"since":-1}', b"x" * 9999]


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_hold_is_said_and_holds_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    (tmp_path / hold.FILE).write_bytes(data)
    with pytest.raises(EdgewiseError, match="is damaged and counts as none"):
        obstacle(tmp_path, "", NOW)
    patience = Patience(tmp_path, "")
    for _ in range(3):
        assert patience.waits_for(STAGED, NOW) == ""
    assert len(caplog.records) == 1  # said once
    assert Patience(tmp_path, "02:00-05:00").waits_for(STAGED, NOW)  # the window counts all the same


def test_what_a_staged_target_waits_for(tmp_path: Path) -> None:
    ran_on(tmp_path)
    patience = Patience(tmp_path, "02:00-05:00, 13:00-14:00")
    assert patience.waits_for(STAGED, NOW) == "waits: outside of the update window 02:00-05:00, 13:00-14:00."
    assert patience.waits_for(STAGED, NOW + 3600) == ""
    hold.write(tmp_path, Hold(since=NOW, until=NOW + 7200, reason="an event"))
    assert patience.waits_for(STAGED, NOW) == "waits: held on site until 2026-11-28 14:00 (an event)."
    assert patience.waits_for(STAGED, NOW + 3600) != ""


@pytest.mark.parametrize(
    ("wanted", "waits"),
    [(target(2), True), (target(1), False), (target(0), False)],
    ids=["new", "committed", "previous"],
)
def test_the_way_back_never_waits(tmp_path: Path, wanted: Target, waits: bool) -> None:
    hold.write(ran_on(tmp_path), Hold(since=NOW))
    patience = Patience(tmp_path, "02:00-05:00")
    assert bool(patience.waits_for(replace(STAGED, target=wanted), NOW)) == waits
    assert patience.waits_for(State(phase=Phase.STAGED, target=target(2)), NOW)


# The command line.


def agent(config: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", *arguments, "--config", str(config)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    ran_on(tmp_path / "state")
    path = tmp_path / "agent.toml"
    path.write_text('[device]\nid = "cam-1"\nstate_dir = "state"\n')
    return path


def test_a_person_holds_the_device_and_lets_it_go_and_status_and_doctor_say_so(config: Path) -> None:
    found_settings = settings_file.load(config, {})
    done = agent(config, "hold", "--until", "12h", "--reason", "an event")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("held on site until ")
    assert "(an event)" in done.stdout
    assert status.read(found_settings).waits.startswith("held on site until ")
    found = doctor.updates(found_settings)
    assert (found.outcome, "an event" in found.text) == ("warning", True)
    assert "edgewise-agent resume" in found.remedy
    assert agent(config, "resume").stdout == "the hold is over\n"
    assert agent(config, "resume").stdout == "nothing was held\n"
    assert status.read(found_settings).waits == ""
    assert doctor.updates(found_settings).outcome == "ok"


def test_a_hold_that_is_refused_leaves_the_one_before(config: Path) -> None:
    state_dir = settings_file.load(config, {}).device.state_dir
    hold.write(state_dir, Hold(since=1.0, reason="before"))
    done = agent(config, "hold", "--until", "yesterday")
    assert done.returncode == 2
    assert "neither a duration nor a time; write 90m" in done.stderr
    kept = hold.read(state_dir, time.time())
    assert kept is not None
    assert kept.reason == "before"


def test_where_no_agent_has_run_nothing_can_be_held(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('[device]\nstate_dir = "nowhere"\n')
    done = agent(config, "hold")
    assert done.returncode == 1
    assert "nowhere, so there is nothing to hold; name its settings with --config" in done.stderr
    assert agent(config, "resume").stdout == "nothing was held\n"


def test_a_damaged_hold_is_a_warning_of_the_doctor_and_told_by_status(config: Path) -> None:
    found_settings = settings_file.load(config, {})
    (found_settings.device.state_dir / hold.FILE).write_bytes(b"{}")
    assert doctor.updates(found_settings).outcome == "warning"
    assert "damaged" in status.read(found_settings).waits
