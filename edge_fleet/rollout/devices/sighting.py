"""When each device of a rollout was seen how far, by this side's clock, and where it stands by that. Pure.

A device's own word is taken for what it runs and why it refused; never for how long. Its clock may be wrong by years,
so `Reported.since` counts only as far as it lies within the stage.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge_contract.messages import ModelRef, Reported, Seconds
from edge_contract.update_state import REFUSED, UpdateState
from edge_contract.wave import Mode
from edge_fleet.devices.view import Device
from edge_fleet.rollout.devices.members import kind_of
from edge_fleet.rollout.devices.standing import Failure, Standing
from edge_fleet.rollout.plans.plan import Plan

_FAILURES: Final[dict[UpdateState, Literal["rejected", "rolled back"]]] = {
    UpdateState.REJECTED: "rejected",
    UpdateState.ROLLED_BACK: "rolled back",
}


class Sighting(Struct, frozen=True, kw_only=True):
    """One device's, in one stage; kept through restarts."""

    stage: int
    since: Seconds = 0.0
    """Since when it runs the release, in the stage's mode."""
    took: bool = False
    """The release answers there, or did: from now on silence is a failure."""
    failure: Failure = ""
    """Its own verdict; one that runs the release after all takes it back."""
    reason: str = ""
    online_since: Seconds = 0.0
    """Since when it is online and has not finished; 0 while it is not, or waits for somebody."""
    waited: Seconds = 0.0
    """Seconds so spent before."""


class Trial(Struct, frozen=True, kw_only=True):
    """What devices of one stage are held against."""

    stage: int
    """Its number in the plan."""
    mode: Mode
    release: ModelRef
    revision: int
    """Of the rollout's first desired state."""
    began: Seconds


def encode(sighting: Sighting) -> bytes:
    """A row for the store."""
    return msgspec.json.encode(sighting)


def decode(row: bytes) -> Sighting:
    """A row of the store.

    Raises:
        msgspec.MsgspecError: it is damaged.
    """
    return msgspec.json.decode(row, type=Sighting)


def seen(before: Sighting | None, device: Device, trial: Trial, now: float) -> Sighting:
    """What is known of a device after a look at what it says now."""
    if before is None or before.stage != trial.stage:
        # Who ran it in an earlier wave goes on soaking; who compared it in shadow begins to run it.
        goes_on = before is not None and before.took and trial.mode == "active"
        before = replace(before, stage=trial.stage, online_since=0.0, waited=0.0) if before and goes_on else None
    sighting = before or Sighting(stage=trial.stage)
    reported = device.reported
    if reported is not None and reported.revision < trial.revision:
        reported = None  # of an earlier desired state, whatever it says
    if runs(reported, trial):
        since = sighting.since or min(max(_since(reported) or now, trial.began), now)
        sighting = replace(sighting, since=since, failure="", reason="")
    else:
        sighting = replace(sighting, since=0.0)
        if reported is not None and reported.state in REFUSED and _is_of(reported.target, trial.release):
            sighting = replace(sighting, failure=_FAILURES[reported.state], reason=reported.reason)
    if trial.mode == "active" and reported is not None and _is_of(reported.active, trial.release):
        sighting = replace(sighting, took=True)
    pending = device.online and not sighting.since and not sighting.failure and not _held(reported)
    if pending and not sighting.online_since:
        return replace(sighting, online_since=now)
    if not pending and sighting.online_since:
        return replace(sighting, online_since=0.0, waited=sighting.waited + max(0.0, now - sighting.online_since))
    return sighting


def gone_on(sighting: Sighting, now: float) -> Sighting:
    """After this side was away: who waited for it is not to blame for that."""
    return replace(sighting, online_since=now) if sighting.online_since else sighting


def standing(sighting: Sighting, device: Device, plan: Plan, heard: float, now: float) -> Standing:
    """Where the device stands; `heard`: when anything came from it last, by this side's clock."""
    known = Standing(device=device.id, kind=kind_of(device), progress="under way", since=sighting.since)
    stopped = device.availability is not None and device.availability.state == "stopped"
    if sighting.failure:
        return replace(known, progress="failed", failure=sighting.failure, reason=sighting.reason)
    if sighting.took and not stopped and now - heard > plan.healthy.silent:
        return replace(known, progress="failed", failure="silent since activation")
    if sighting.since and device.online:
        return replace(known, progress="running")
    if not device.online and (stopped or not sighting.took):
        return replace(known, progress="offline", since=0.0)
    waited = sighting.waited + (now - sighting.online_since if sighting.online_since else 0.0)
    if not sighting.since and waited > plan.installed.timeout:
        return replace(known, progress="failed", failure="timed out", reason=_where(device.reported))
    return replace(known, since=0.0, reason=_where(device.reported))


def runs(reported: Reported | None, trial: Trial) -> bool:
    """Whether it runs the release as this stage wants it."""
    if reported is None:
        return False
    if trial.mode == "shadow":
        return reported.state is UpdateState.SHADOWING and _is_of(reported.target, trial.release)
    return reported.state is UpdateState.COMMITTED and _is_of(reported.active, trial.release)


def _since(reported: Reported | None) -> float:
    return reported.since if reported is not None else 0.0


def _held(reported: Reported | None) -> bool:
    """A person on site or its update window holds it: staged, with the reason why it is not tried yet."""
    return reported is not None and reported.state is UpdateState.STAGED and bool(reported.reason)


def _is_of(model: ModelRef | None, release: ModelRef) -> bool:
    return model == release


def _where(reported: Reported | None) -> str:
    if reported is None:
        return "it has not reported yet"
    done = f", {reported.progress:.0%}" if reported.state is UpdateState.DOWNLOADING else ""
    return f"{reported.state.text or reported.state}{done}{f': {reported.reason}' if reported.reason else ''}"
