"""`edgewise why`: one sentence for each thing that a device can wait for."""

from typing import Any

import pytest
from msgspec.structs import replace

from edge_contract.messages import ModelRef
from edge_contract.trust import DesiredState
from edge_contract.update_state import UpdateState
from edge_contract.wave import Wave, place
from edge_fleet.devices.view import Device
from edge_fleet.rollout.devices.members import followed_by
from edge_fleet.rollout.machine import Phase, State
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.why import why
from tests.fleet.rollout.devices.test_sighting import NOW, device
from tests.fleet.rollout.rollouts import NEW, OLD, OTHER, WAVES, rollout

PLACE = place(NEW.digest, "cam-1")
ALL = Wave(model=NEW, mode="active", share=1.0, salt=NEW.digest)
NOBODY, NAMED = replace(ALL, share=0.0), replace(ALL, share=0.0, canaries=("cam-1",))


def state(model: ModelRef = OLD, wave: Wave | None = None, scope: str = "group/lab", **more: Any) -> DesiredState:
    return DesiredState(
        **{"scope": scope, "revision": 60, "model": model, "issued": 1.0, "expires": 9e9, "wave": wave} | more
    )


def told(shown: Device, *states: DesiredState, rollout: State | None = None) -> str:
    return why(shown, {one.scope: one for one in states}, rollout, NOW)


LAST = "(its last report: 1970-01-01 02:55 UTC)"
HELD = device(UpdateState.STAGED, reason="held by hand until 18:00.")
REFUSED = device(UpdateState.REJECTED, reason="its self-test \x1bfailed.")
IN_LAB = f"for its place in group lab, {PLACE:.4f}, is"


@pytest.mark.parametrize(
    ("shown", "states", "sentence"),
    [
        (device(), [], "cam-1 runs emotion 5; nothing is desired for it and for its groups (lab)."),
        (device(), [state()], "cam-1 runs emotion 5, as it is to, like all of group lab."),
        (device(active=NEW), [state(wave=ALL)], f"cam-1 runs emotion 6, as it is to, {IN_LAB} under the wave's 1."),
        (device(), [state(wave=NOBODY)], f"cam-1 runs emotion 5, as it is to, {IN_LAB} not under the wave's 0."),
        (device(), [state(OTHER), state(scope="device/cam-1")], "as it is to, by a desired state of its own."),
        (device(active=OTHER), [state(OTHER), state(scope="device/cam-1", follow_group=True)], "all of group lab."),
        (
            device(UpdateState.DOWNLOADING, progress=0.43),
            [state(wave=NAMED)],
            "and is to run emotion 6, as a named device of the wave in group lab; it has 43% of it.",
        ),
        (HELD, [state(NEW)], "; its update is under way (staged): held by hand until 18:00."),
        (REFUSED, [state(NEW)], r"; it is rejected: its self-test \x1bfailed."),
        (device(UpdateState.PROBATION, active=NEW), [state(NEW)], "; its update is under way (on probation)."),
        (device(target=OLD, revision=59), [state(NEW)], "; it has not taken up revision 60 yet (it knows 59)."),
        (device(UpdateState.DOWNLOADING, target=OTHER), [state(NEW)], "; it works on emotion 7 (downloading)."),
        (device(availability="offline"), [state(NEW)], f"; it is offline {LAST} and takes it up when it is back."),
        (device(availability="stopped"), [state()], f"like all of group lab; it is stopped {LAST}."),
        (device(), [state(NEW, expires=5.0)], "expired: run `edgewise release refresh` and `edgewise fleet heal`."),
        (Device("cam-1"), [], "cam-1 runs no released model; nothing is desired for it."),
        (
            device(UpdateState.SHADOWING),
            [state(wave=replace(ALL, mode="shadow"))],
            f"cam-1 runs emotion 5 with emotion 6 in shadow beside it, as it is to, {IN_LAB} under the wave's 1.",
        ),
        (
            device(UpdateState.SELFTEST),
            [state(wave=replace(ALL, mode="shadow"))],
            f"with emotion 6 in shadow beside it, {IN_LAB} under the wave's 1; its update is under way (self-test).",
        ),
    ],
)  # fmt: skip
def test_one_sentence_says_what_it_runs_and_what_it_waits_for(
    shown: Device, states: list[DesiredState], sentence: str
) -> None:
    assert told(shown, *states).endswith(sentence)


def test_a_device_that_is_in_no_wave_yet_is_told_which_one_it_is_in_and_what_that_waits_for() -> None:
    running = replace(rollout(Plan(waves=WAVES, approve=(3,))), phase=Phase.WAITING, position=3, begun=(1.0, 2.0, 3.0))
    sentence = told(device(), state(wave=NOBODY), rollout=running)
    assert sentence.endswith(
        "; emotion 6 reaches it in wave 3 of lab-1, which waits for `edgewise rollout approve lab-1`."
    )
    ended = replace(running, phase=Phase.HALTED)
    assert "reaches" not in told(device(), state(wave=NOBODY), rollout=ended)


def test_of_two_groups_the_state_that_was_asked_for_last_counts() -> None:
    shown = device()
    assert shown.info is not None
    both = Device("cam-1", shown.availability, replace(shown.info, groups=("lab", "attic")), shown.reported)
    states = {"group/lab": state(issued=5.0), "group/attic": state(NEW, scope="group/attic", issued=4.0)}
    assert followed_by(both, states) == states["group/lab"]
