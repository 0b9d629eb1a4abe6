"""How a rollout stands, for people and scripts: its stages, its devices, what the gates say, what it waits for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import to_builtins

from edge_contract.trust import DesiredState
from edge_fleet.devices.view import Device
from edge_fleet.rollout import machine
from edge_fleet.rollout.devices import sighting
from edge_fleet.rollout.devices.members import members
from edge_fleet.rollout.devices.standing import Standing
from edge_fleet.rollout.evidence import evidence
from edge_fleet.rollout.evidence.pooling import Pooled, together
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.standings import standings
from edge_fleet.rollout.store import RolloutStore


@dataclass(frozen=True, slots=True)
class Report:
    """One moment's."""

    state: State
    devices: list[Standing]
    """Of the stage that is judged, or was last."""
    others: int
    """Devices of the group that are in no stage that began."""
    planned: tuple[int, ...]
    """For each stage, how many of the group's devices it has, as the group is now."""
    shadow: Pooled
    """What all devices together compared so far."""
    waits_for: str
    now: float

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        state = self.state
        return {
            "rollout": state.id,
            "group": state.group,
            "release": to_builtins(state.release),
            "rest": to_builtins(state.rest),
            "phase": state.phase,
            "paused": to_builtins(state.pause),
            "reason": state.reason,
            "waits_for": self.waits_for,
            "outcome": None if state.verdict is None else state.verdict.outcome,
            "shadow": to_builtins(self.shadow),
            "findings": [] if state.verdict is None else to_builtins(state.verdict.findings),
            "stages": [
                {
                    "number": stage.number,
                    "mode": stage.mode,
                    "share": stage.share,
                    "devices": count,
                    "began": state.begun[place] if place < len(state.begun) else None,
                }
                for place, (stage, count) in enumerate(zip(state.stages, self.planned, strict=True))
            ],
            "devices": to_builtins(self.devices),
            "others": self.others,
        }


def report(
    state: State,
    store: RolloutStore,
    devices: Iterable[Device],
    states: Mapping[str, DesiredState],
    now: float,
    heard: Callable[[str], float] | None = None,
) -> Report:
    """`devices`: as they report now. `heard`: when a device was, last; only who stays beside a broker can tell.

    Without it no device counts as silent; the controller's verdict does.
    """
    known = list(devices)
    following = [device.id for device in members(state.group, known, states)]
    planned = tuple(sum(map(machine.wave_of(state, stage).includes, following)) for stage in state.stages)
    found: list[Standing] = []
    if state.begun and state.phase not in machine.ENDED:
        sightings = store.devices(state.id, "sighting", sighting.decode)
        found = standings(state, len(state.begun) - 1, known, states, sightings, heard or (lambda _: now), now).devices
    compared = together(store.devices(state.id, "evidence", evidence.decode))
    return Report(state, found, len(following) - len(found), planned, compared, machine.waits_for(state, now), now)
