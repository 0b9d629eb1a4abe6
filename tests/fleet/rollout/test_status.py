"""How a group stands, as it is published: what the dashboard and the alerts know of rollouts."""

from typing import Any

import pytest
from msgspec.structs import replace

from edge_contract import topics
from edge_contract.group_status import SHOWN, GroupStatus
from edge_contract.messages import decode
from edge_contract.trust import DesiredState
from edge_contract.update_state import UpdateState
from edge_contract.wave import Wave
from edge_fleet.devices.view import Device
from edge_fleet.link import Arrived
from edge_fleet.rollout.status import encoded, group_status
from edge_fleet.rollout.status_board import LOOK_EVERY_S, REPEAT_S, StatusBoard
from edge_fleet.rollout.why import behind
from tests.fleet.rollout.devices.test_sighting import NOW, device
from tests.fleet.rollout.rollouts import NEW, OLD
from tests.fleet.rollout.test_controller import Fleet, ended, fleet

__all__ = ["fleet"]

ALL = Wave(model=NEW, mode="active", share=1.0, salt=NEW.digest)


def states(**more: Any) -> dict[str, DesiredState]:
    fields = {"scope": "group/lab", "revision": 60, "model": NEW, "issued": 1.0, "expires": 9e9} | more
    return {"group/lab": DesiredState(**fields)}


@pytest.mark.parametrize(
    ("shown", "silent", "kind"),
    [
        (device(UpdateState.COMMITTED, active=NEW), False, None),
        (device(UpdateState.COMMITTED, active=NEW, availability="offline"), False, None),
        (device(UpdateState.COMMITTED, active=NEW), True, "silent"),
        (device(UpdateState.DOWNLOADING), False, "under way"),
        (device(UpdateState.PROBATION, active=NEW), False, "under way"),
        (device(UpdateState.STAGED, reason="held by hand."), False, "waits"),
        (device(UpdateState.REJECTED, reason="too slow."), False, "failed"),
        (device(UpdateState.ROLLED_BACK, reason="too slow."), False, "failed"),
        (device(UpdateState.REJECTED, target=OLD), False, "under way"),
        (device(UpdateState.REJECTED, availability="offline"), False, "offline"),
        (Device("cam-1"), False, None),
    ],
)
def test_what_kind_of_trouble_keeps_a_device_from_what_it_should_run(
    shown: Device, silent: bool, kind: str | None
) -> None:
    found = behind(shown, states(), None, NOW, silent=silent)
    assert [one for one, _ in found] == ([] if kind is None else [kind])


def test_devices_that_failed_are_named_before_others_and_very_many_are_cut() -> None:
    slow = [replace_id(device(UpdateState.DOWNLOADING), f"cam-{number:03}") for number in range(SHOWN)]
    bad = replace_id(device(UpdateState.REJECTED, reason="x" * 1000 + "\x1b"), "cam-999")
    status = group_status("lab", states(), [*slow, bad], None, NOW)
    assert (len(status.behind), status.behind[0].device) == (SHOWN, "cam-999")
    assert status.behind[0].why.endswith("…")
    assert decode(encoded(status), GroupStatus) == status


def replace_id(shown: Device, id_: str) -> Device:
    return Device(id_, shown.availability, shown.info, shown.reported)


def test_a_status_too_large_for_a_message_names_fewer_devices() -> None:
    status = group_status("lab", states(), [device(UpdateState.DOWNLOADING)], None, NOW)
    wide = replace(status, behind=tuple(replace(status.behind[0], why="é" * 1000) for _ in range(SHOWN)))
    assert 0 < len(decode(encoded(wide), GroupStatus).behind) < SHOWN


def test_those_who_watch_see_a_rollout_begin_and_halt_and_a_group_go(fleet: Fleet) -> None:
    fleet.join(behaviour="rolls back")
    said: list[str] = []
    clock = [fleet.side.now()]
    board = StatusBoard(fleet.publisher, fleet.store, fleet.controller, said.append, lambda: clock[0])

    def shown() -> GroupStatus:
        clock[0] += LOOK_EVERY_S
        board.turn()
        (payload,) = fleet.reader.retained(topics.group_status("lab")).values()
        return decode(payload, GroupStatus)

    first = shown()
    assert (first.group, first.rollout, first.desired and first.desired.release) == ("lab", None, 1)
    assert shown().time == first.time, "nothing changed"
    clock[0] += REPEAT_S
    assert shown().time > first.time, "said again, so that an old one shows that nobody serves"
    fleet.start()
    fleet.until(lambda state: state.begun)
    rollout = shown().rollout
    assert rollout is not None
    assert (rollout.phase, rollout.release.release, [stage.number for stage in rollout.stages]) == (
        "wave",
        2,
        [1, 2, 3],
    )
    fleet.until(ended)
    rollout = shown().rollout
    assert rollout is not None
    assert (rollout.phase, rollout.outcome) == ("halted", "fail")
    assert "olled back" in rollout.reason
    again = StatusBoard(fleet.publisher, fleet.store, fleet.controller, said.append, lambda: clock[0])
    fleet.link.publish([Arrived(topics.group_status("gone"), b"{}")])
    clock[0] += LOOK_EVERY_S
    again.turn()
    assert fleet.reader.retained(topics.group_status("gone")) == {}
    assert said == []
