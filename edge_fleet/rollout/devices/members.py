"""Whose desired state a device follows, and so which devices a rollout is about. Pure.

The rule is the device's own (`edge_contract.in_force`).
"""

from collections.abc import Iterable, Mapping

from edge_contract.in_force import in_force
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState
from edge_fleet.devices.view import Device
from edge_fleet.rollout.kind import Kind


def followed_by(device: Device, states: Mapping[str, DesiredState]) -> DesiredState | None:
    """The state that counts for a device, of those by scope; None where there is none for it or its groups."""
    return in_force(states, device.id, device.info.groups if device.info is not None else ())


def assigned(state: DesiredState, device: str) -> ModelRef:
    """What a state makes this device answer with: a release in shadow answers nobody."""
    wave = state.wave
    return wave.model if wave is not None and wave.mode == "active" and wave.includes(device) else state.model


def members(group: str, devices: Iterable[Device], states: Mapping[str, DesiredState]) -> list[Device]:
    """The devices that follow a group's desired state, by id."""
    scope = str(Scope("group", group))
    following = []
    for device in devices:
        state = followed_by(device, states)
        if state is not None and state.scope == scope:
            following.append(device)
    return sorted(following, key=lambda device: device.id)


def knows_waves(device: Device) -> bool:
    """Whether its agent takes part in waves; one from before there were any runs what the others of the group run."""
    return device.info is not None and bool(device.info.camera_kind)  # which such an agent does not say either


def kind_of(device: Device) -> Kind:
    """What it is like, as far as it said."""
    info = device.info
    if info is None:
        return Kind(board="", runtime="", camera="")
    return Kind(board=info.board, runtime=info.runtime, camera=info.camera_kind)
