"""Where all devices of a stage stand, and who of the group is not in it. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edge_contract.trust import DesiredState
from edge_fleet.devices.view import Device
from edge_fleet.rollout import machine
from edge_fleet.rollout.devices import sighting
from edge_fleet.rollout.devices.members import knows_waves, members
from edge_fleet.rollout.devices.sighting import Sighting, Trial
from edge_fleet.rollout.devices.standing import Standing
from edge_fleet.rollout.machine import State


@dataclass(frozen=True, slots=True)
class Standings:
    """Of one stage."""

    devices: list[Standing]
    controls: list[str]
    """The group's other devices."""
    sightings: dict[str, Sighting]
    """By device, those that changed."""


def standings(
    state: State,
    position: int,
    devices: Iterable[Device],
    states: Mapping[str, DesiredState],
    sightings: Mapping[str, Sighting],
    heard: Callable[[str], float],
    now: float,
) -> Standings:
    """`position`: of a stage that began. `states`: the desired ones, by scope. `heard`: when a device was, last."""
    stage = state.stages[position]
    wave = machine.wave_of(state, stage)
    trial = Trial(
        stage=stage.number,
        mode=stage.mode,
        release=state.release,
        revision=state.revision,
        began=state.begun[position],
    )
    found = Standings([], [], {})
    for device in members(state.group, devices, states):
        if not wave.includes(device.id) or not knows_waves(device):
            found.controls.append(device.id)
            continue
        before = sightings.get(device.id)
        after = sighting.seen(before, device, trial, now)
        if after != before:
            found.sightings[device.id] = after
        found.devices.append(sighting.standing(after, device, state.plan, heard(device.id), now))
    return found
