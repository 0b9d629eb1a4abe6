"""Why a device runs what it runs, in one sentence: what it runs, what it is to run, what it waits for. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from edge_contract.messages import ModelRef, Reported
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState
from edge_contract.update_state import REFUSED, UpdateState
from edge_contract.visible import visible
from edge_contract.wave import place
from edge_fleet.devices.view import Device
from edge_fleet.rollout import machine
from edge_fleet.rollout.devices.members import assigned, followed_by
from edge_fleet.rollout.machine import State

Kind = Literal["offline", "under way", "failed", "silent", "waits"]


def why(device: Device, states: Mapping[str, DesiredState], rollout: State | None, now: float) -> str:
    """The sentence. `states`: the desired ones, by scope; `rollout`: the one that runs in the group it follows."""
    state = followed_by(device, states)
    runs = f"{device.id} runs {_model(device.reported.active if device.reported is not None else None)}"
    if state is None:
        groups = f" and for its groups ({', '.join(device.info.groups)})" if device.info and device.info.groups else ""
        return f"{runs}; nothing is desired for it{groups}."
    to_run = assigned(state, device.id)
    shadows = _shadows(state, device.id)
    desired = f"is to run {_model(to_run)}{_beside(shadows)}, {_whose(state, device.id)}"
    waits = _waits(device, state, to_run, shadows, now)
    if waits:
        return f"{runs} and {desired}; {waits}."
    return f"{runs}{_beside(shadows)}, as it is to, {_whose(state, device.id)}{_later(rollout, state, device.id, now)}."


def behind(
    device: Device, states: Mapping[str, DesiredState], rollout: State | None, now: float, *, silent: bool
) -> list[tuple[Kind, str]]:
    """The sentence of a device that does not run what it should, and what kind of trouble that is; empty otherwise.

    `silent`: nothing was heard of it since it activated the release on trial.
    """
    state = followed_by(device, states)
    if state is None:
        return []
    model, shadow = assigned(state, device.id), _shadows(state, device.id)
    reported = device.reported
    if not silent and _there(reported, state, model, shadow):
        return []
    kind: Kind = "under way"
    if silent:
        kind = "silent"
    elif not device.online:
        kind = "offline"
    elif reported is not None and reported.target == (shadow or model):
        if reported.state in REFUSED:
            kind = "failed"
        elif reported.state is UpdateState.STAGED:
            kind = "waits"
    return [(kind, why(device, states, rollout, now))]


def followed(device: Device, states: Mapping[str, DesiredState]) -> str | None:
    """The group whose desired state the device follows; None where it follows its own, or none."""
    state = followed_by(device, states)
    scope = None if state is None else Scope.parse(state.scope)
    return scope.name if scope is not None and scope.kind == "group" else None


def _model(model: ModelRef | None) -> str:
    return "no released model" if model is None else f"{model.name} {model.release}"


def _beside(shadow: ModelRef | None) -> str:
    return "" if shadow is None else f" with {_model(shadow)} in shadow beside it"


def _shadows(state: DesiredState, device: str) -> ModelRef | None:
    wave = state.wave
    return wave.model if wave is not None and wave.mode == "shadow" and wave.includes(device) else None


def _whose(state: DesiredState, device: str) -> str:
    scope = Scope.parse(state.scope)
    if scope.kind == "device":
        return "by a desired state of its own"
    wave = state.wave
    if wave is None:
        return f"like all of group {scope.name}"
    if device in wave.canaries:
        return f"as a named device of the wave in group {scope.name}"
    where = place(wave.salt, device)
    inside = "under" if wave.includes(device) else "not under"
    return f"for its place in group {scope.name}, {where:.4f}, is {inside} the wave's {wave.share:.4g}"


def _waits(device: Device, state: DesiredState, model: ModelRef, shadow: ModelRef | None, now: float) -> str:
    """What stands between the device and what it is to run; empty where it is there."""
    reported = device.reported
    if _there(reported, state, model, shadow):
        return "" if device.online else f"it is {_away(device)}"
    if not device.online:
        return f"it is {_away(device)} and takes it up when it is back"
    if state.expires <= now:
        return "the desired state has expired: run `edgewise release refresh` and `edgewise fleet heal`"
    if reported is None:
        return "it is online and has not reported yet"
    trial = shadow or model
    if reported.target != trial:
        if reported.revision < state.revision:
            return f"it has not taken up revision {state.revision} yet (it knows {reported.revision})"
        return f"it works on {_model(reported.target)} ({_state(reported)})"
    if reported.state in REFUSED:
        return f"it is {reported.state.text}{_because(reported)}"
    if reported.state is UpdateState.DOWNLOADING:
        return f"it has {reported.progress:.0%} of it{_because(reported)}"
    return f"its update is under way ({_state(reported)}){_because(reported)}"


def _there(reported: Reported | None, state: DesiredState, model: ModelRef, shadow: ModelRef | None) -> bool:
    if reported is None or reported.active != model:
        return False
    if shadow is not None:
        return reported.target == shadow and reported.state is UpdateState.SHADOWING
    return reported.state is UpdateState.COMMITTED and reported.revision >= state.revision


def _away(device: Device) -> str:
    said = device.availability.state if device.availability is not None else "not known to be online"
    last = device.reported.time if device.reported is not None else 0.0
    if not last:
        return said
    try:
        return f"{said} (its last report: {datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M} UTC)"
    except (ValueError, OverflowError, OSError):
        return said


def _state(reported: Reported) -> str:
    return reported.state.text or reported.state.value


def _because(reported: Reported) -> str:
    return f": {visible(reported.reason).rstrip('.')}" if reported.reason else ""


def _later(rollout: State | None, state: DesiredState, device: str, now: float) -> str:
    """When the release that is rolled out in its group reaches a device that is not in it yet."""
    if rollout is None or rollout.phase in machine.ENDED or state.wave is None or state.wave.includes(device):
        return ""
    later = (stage for stage in rollout.stages[rollout.position :] if stage.number)
    stage = next((stage for stage in later if machine.wave_of(rollout, stage).includes(device)), None)
    if stage is None:
        return f"; {_model(rollout.release)} reaches it when {rollout.id} is completed"
    waits = machine.waits_for(rollout, now)
    held = f", which waits for {waits}" if waits else ""
    return f"; {_model(rollout.release)} reaches it in {stage} of {rollout.id}{held}"
