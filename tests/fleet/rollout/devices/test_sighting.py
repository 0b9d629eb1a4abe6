"""Where a device stands: by what it says it runs, and by this side's clock alone for how long."""

from typing import Any

import pytest
from msgspec.structs import replace

from edge_contract.messages import Availability, Info, ModelRef, Reported
from edge_contract.update_state import UpdateState
from edge_fleet.devices.view import Device
from edge_fleet.rollout.devices.sighting import Sighting, Trial, decode, encode, gone_on, seen, standing
from edge_fleet.rollout.plans.plan import HealthyGate, InstalledGate, Plan
from tests.fleet.rollout.rollouts import NEW, OLD

BEGAN, NOW = 10_000.0, 10_500.0
PLAN = Plan(installed=InstalledGate(timeout=3600.0), healthy=HealthyGate(silent=600.0))
WAVE = Trial(stage=1, mode="active", release=NEW, revision=50, began=BEGAN)
SHADOW = replace(WAVE, stage=0, mode="shadow")


def device(
    state: UpdateState = UpdateState.COMMITTED,
    active: ModelRef = OLD,
    target: ModelRef | None = NEW,
    *,
    availability: str = "online",
    revision: int = 60,
    **more: Any,
) -> Device:
    info = Info(
        device="cam-1", site="hall", groups=("lab",), session=1, agent="1", board="pi-4", os="", python="",
        runtime="litert", camera="", camera_kind="v4l2", started=0.0,
    )  # fmt: skip
    reported = Reported(
        device="cam-1", session=1, active=active, state=state, target=target, revision=revision, time=NOW, **more
    )
    return Device("cam-1", Availability(state=availability, session=1), info, reported)  # type: ignore[arg-type]


RUNS, REJECTED = device(active=NEW), device(UpdateState.REJECTED, reason="its self-test failed.")
BUSY = device(UpdateState.DOWNLOADING, progress=0.4)


@pytest.mark.parametrize(
    ("shown", "heard", "later", "progress", "failure"),
    [
        (RUNS, NOW, 0, "running", ""),
        (REJECTED, NOW, 0, "failed", "rejected"),
        (device(UpdateState.ROLLED_BACK), NOW, 0, "failed", "rolled back"),
        (BUSY, NOW, 0, "under way", ""),
        (BUSY, NOW, 3599, "under way", ""),
        (BUSY, NOW, 3601, "failed", "timed out"),
        (device(UpdateState.STAGED, reason="held by hand"), NOW, 90_000, "under way", ""),  # nobody is to blame
        (device(active=OLD, target=OLD), NOW, 0, "under way", ""),
        (device(UpdateState.REJECTED, revision=49), NOW, 0, "under way", ""),  # of an earlier rollout
        (device(active=NEW, revision=49), NOW, 0, "under way", ""),
        (device(UpdateState.REJECTED, target=OLD), NOW, 0, "under way", ""),
        (device(UpdateState.PROBATION, active=NEW), NOW, 0, "under way", ""),
        (device(UpdateState.PROBATION, active=NEW), NOW, 601, "failed", "silent since activation"),
        (RUNS, NOW, 601, "failed", "silent since activation"),
        (RUNS, NOW + 601, 601, "running", ""),
        (device(active=NEW, availability="offline"), NOW, 300, "under way", ""),
        (device(active=NEW, availability="offline"), NOW, 601, "failed", "silent since activation"),
        (device(active=NEW, availability="stopped"), NOW, 90_000, "offline", ""),  # switched off by somebody
        (device(availability="offline"), NOW, 90_000, "offline", ""),
        (device(UpdateState.DOWNLOADING, availability="offline"), NOW, 90_000, "offline", ""),
        (Device("cam-1", Availability(state="online", session=1)), NOW, 0, "under way", ""),
        (Device("cam-1"), NOW, 90_000, "offline", ""),
    ],
)
def test_where_a_device_of_a_wave_stands(
    shown: Device, heard: float, later: float, progress: str, failure: str
) -> None:
    sighting = seen(None, shown, WAVE, NOW)
    found = standing(seen(sighting, shown, WAVE, NOW + later), shown, PLAN, heard, NOW + later)
    assert (found.progress, found.failure) == (progress, failure)
    assert decode(encode(sighting)) == sighting


@pytest.mark.parametrize(("said", "since"), [(0.0, NOW), (10_200.0, 10_200.0), (3.0, BEGAN), (9e9, NOW), (1e11, NOW)])
def test_its_own_time_counts_only_within_the_stage(said: float, since: float) -> None:
    assert seen(None, device(active=NEW, since=said), WAVE, NOW).since == since


def test_in_shadow_it_runs_the_release_beside_the_other() -> None:
    shadowing = device(UpdateState.SHADOWING)
    assert seen(None, shadowing, SHADOW, NOW).since == NOW
    assert seen(None, shadowing, WAVE, NOW).since == 0
    assert not seen(None, shadowing, SHADOW, NOW).took  # silence is no fault of what answers nobody
    assert seen(None, RUNS, SHADOW, NOW).since == 0


def test_who_ran_it_in_an_earlier_wave_goes_on_soaking_and_who_compared_it_begins() -> None:
    first = seen(None, RUNS, WAVE, NOW)
    assert seen(first, RUNS, replace(WAVE, stage=2, began=NOW + 50), NOW + 60).since == NOW
    shadowed = seen(None, device(UpdateState.SHADOWING), SHADOW, NOW)
    assert seen(shadowed, BUSY, WAVE, NOW + 60).since == 0


def test_time_online_adds_up_over_connections_and_nothing_else_does() -> None:
    away, sighting, now = device(UpdateState.DOWNLOADING, availability="offline"), None, NOW
    for _ in range(4):
        sighting = seen(sighting, BUSY, WAVE, now)
        sighting = seen(sighting, away, WAVE, now + 1000)  # a thousand seconds online, then a day away
        now += 87_400
    assert sighting.waited == 4000
    assert standing(seen(sighting, BUSY, WAVE, now), BUSY, PLAN, now, now).failure == "timed out"
    assert standing(sighting, away, PLAN, now, now).progress == "offline"


def test_the_time_in_which_this_side_was_away_is_nobodys() -> None:
    sighting = gone_on(seen(None, BUSY, WAVE, NOW), NOW + 90_000)
    assert standing(sighting, BUSY, PLAN, NOW + 90_000, NOW + 90_100).progress == "under way"
    assert gone_on(Sighting(stage=1), NOW) == Sighting(stage=1)


def test_a_failure_stands_until_the_device_runs_the_release_after_all() -> None:
    failed = seen(None, REJECTED, WAVE, NOW)
    assert (failed.failure, failed.reason) == ("rejected", "its self-test failed.")
    assert seen(failed, BUSY, WAVE, NOW + 1).failure == "rejected"
    assert seen(failed, RUNS, WAVE, NOW + 2).failure == ""
