"""Starts a rollout: everything that could stand against it is checked first, and then it is there in one transaction.

Nothing is published here. What serves the folder does that, as it does all that follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_contract import topics
from edge_contract.errors import GateRefusedError, TrustError, UsageError
from edge_contract.scope import Scope
from edge_contract.trust import Release
from edge_contract.visible import visible
from edge_fleet.devices.view import Fleet
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout.devices.members import kind_of, knows_waves, members
from edge_fleet.rollout.events import Assignment
from edge_fleet.rollout.gates.wording import listed
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.machine import Stage, State
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.plans.sizes import sizes
from edge_fleet.rollout.precedence import check_free, give_way
from edge_fleet.rollout.store import RolloutStore


@dataclass(frozen=True, slots=True)
class Started:
    """A rollout that is there, and what whoever started it should know."""

    state: State
    devices: int
    """In the group now."""
    notes: tuple[str, ...]
    """Sentences: waves that are skipped, kinds of devices that no wave tries early."""


def start(
    publisher: Publisher,
    store: RolloutStore,
    fleet: Fleet,
    name: str,
    release: int,
    group: str,
    plan: Plan,
    *,
    by: str,
    supersede: bool = False,
    retry: bool = False,
) -> Started:
    """Check, and keep a new rollout. `retry`: devices where this very model failed before try it once more.

    Raises:
        UsageError: the release, the group or its state stands against it; the text says what.
        GateRefusedError: the release did not pass the gate.
        TrustError: files are damaged, or the broker holds what is newer than this folder.
        EdgewiseError: a key is not here.
    """
    topics.checked_id(group, "group")
    found = _releasable(publisher, name, release)
    publisher.check_newest()
    publisher.check(found)
    repository, now = publisher.releases.repository, publisher.desired.now()
    repository.online_signer()
    with repository.locked():  # no push and no other start in between
        before = _before(publisher.desired, group)
        if before.model == found.manifest.ref:
            raise UsageError(f"group {group} is to run {name} {release} already", remedy="name another release")
        states = {one.state.scope: one.state for one in publisher.desired.all()}
        following = members(group, fleet.devices.values(), states)
        if not following:
            raise UsageError(_nobody(fleet, group), remedy="see `edgewise fleet ls`")
        kinds = {device.id: kind_of(device) for device in following if knows_waves(device)}
        earlier = [device.id for device in following if device.id not in kinds]
        if not kinds:
            raise UsageError(
                f"no agent in group {group} knows waves", remedy="update the agents, or use `edgewise push`"
            )
        stages, notes = _stages(plan, kinds, found.manifest.digest)
        if earlier:
            notes += (
                f"{len(earlier)} of the devices have an agent that knows no waves, and run {before.model.name} "
                f"{before.model.release} until all of the group is to run {name} {release}: {listed(earlier)}.",
            )

        gate = found.manifest.gate

        def make(rollout: str) -> State:
            return State(
                id=rollout,
                group=group,
                release=found.manifest.ref,
                rest=before.model,
                plan=plan,
                stages=stages,
                started=now,
                by=by,
                issued=before,
                wanted=before,
                retry=retry,
                agreement=None if gate is None else gate.agreement_with(before.model.digest),
                ready=plan.behaves is None or stages[0].mode == "shadow",
            )

        with store.transaction():
            if not supersede:
                check_free(store, group)
            give_way(store, group, f"{name} {release} is rolled out in its place.", by=by, now=now)
            return Started(store.begin(group, make, now), len(following), notes)


def _releasable(publisher: Publisher, name: str, release: int) -> Release:
    found = publisher.releases.find(name, release)
    gate = found.manifest.gate
    if gate is None or not gate.passed:
        reasons = f" ({'; '.join(gate.reasons)})" if gate is not None and gate.reasons else ""
        raise GateRefusedError(
            f"{name} {release} did not pass the gate{reasons}", remedy="roll out a release that did (`make gate`)"
        )
    publisher.releases.files(found)  # damage is found before anything begins
    return found


def _before(desired: DesiredStates, group: str) -> Assignment:
    """What the group runs, which is what it goes back to."""
    scope = str(Scope("group", group))
    found = desired.of(scope)
    if found is None:
        raise UsageError(
            f"group {group} has no release yet that it could go back to",
            remedy=f"give it one first: `edgewise push NAME RELEASE --group {group}`",
        )
    if found.revoked:
        raise TrustError(
            f"the desired state of {scope} is signed by an online key that was replaced since",
            remedy="run `edgewise release refresh`",
        )
    return Assignment(model=found.state.model, wave=found.state.wave)


def _nobody(fleet: Fleet, group: str) -> str:
    groups = {each for device in fleet.devices.values() if device.info is not None for each in device.info.groups}
    if group in groups:
        return f"every device of group {group} follows another desired state than the group's"
    known = f" (groups there: {', '.join(sorted(groups))})" if groups else ""
    return f"no device of group {group} has reported on this broker{known}"


def _stages(plan: Plan, kinds: Mapping[str, Kind], salt: str) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """The stages that somebody takes part in, and what is to be said of the others."""
    found = sizes(plan, kinds, salt)
    stages = tuple(Stage(number=one.number, share=one.share, canaries=one.canaries) for one in found if not one.skipped)
    notes = [one.skipped for one in found if one.skipped]
    for one, stage in zip((one for one in found if not one.skipped), stages, strict=True):
        if one.without:
            notes.append(f"in {stage} no device is one of {'; '.join(visible(str(kind)) for kind in one.without)}.")
    return stages, tuple(f"{note[0].upper()}{note[1:]}" for note in notes)
