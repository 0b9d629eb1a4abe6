"""Does what the rollouts' machine decided: judges its stages, and makes the groups' desired states say what is due.

Single-threaded around `turn`, and level-triggered: each turn reads the states and the desired states that are there. So
what a person's command changed meanwhile is simply found; and what a kill left undone is done, once. A desired state
that says neither what this rollout issued nor what it wants was pushed by somebody: the rollout is superseded.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_contract import topics
from edge_contract.command_end import explained
from edge_contract.errors import MessageError, UsageError
from edge_contract.messages import Telemetry, decode
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState, Release
from edge_fleet.devices.view import Fleet
from edge_fleet.link import Arrived
from edge_fleet.releases.desired import Issued
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import events, machine
from edge_fleet.rollout.devices import sighting
from edge_fleet.rollout.devices.members import members
from edge_fleet.rollout.devices.sighting import Sighting
from edge_fleet.rollout.events import Assignment, Entry, Event
from edge_fleet.rollout.evidence import evidence
from edge_fleet.rollout.evidence.evidence import Evidence
from edge_fleet.rollout.gates.verdict import Verdict
from edge_fleet.rollout.gates.wave import judge_before
from edge_fleet.rollout.intake import Intake
from edge_fleet.rollout.judging import judge
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.standings import standings
from edge_fleet.rollout.store import RolloutStore

JUDGE_EVERY_S: Final = 3.0
_REPEATED: Final = 100
_NOT_ACKNOWLEDGED: Final = (
    "devices send the same telemetry again and again, because nobody acknowledges it: start `edgewise-bridge`, or no "
    "gate learns anything new."
)
_AWAY_S: Final = 60.0  # between two turns: the machine slept, or its clock was set


@dataclass(slots=True)
class _Kept:
    """Of one rollout, by device."""

    sightings: dict[str, Sighting]
    evidence: dict[str, Evidence]
    changed: set[str] = field(default_factory=set)
    """Devices whose evidence is to be written down."""
    repeated: int = 0
    """Windows in a row that were known: what devices do to which nobody acknowledges theirs."""


class Controller:
    """The rollouts of one repository on one broker."""

    def __init__(
        self,
        publisher: Publisher,
        store: RolloutStore,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: seconds since 1970; `say` is called with a sentence for the operator's log.

        Raises:
            EdgewiseError: the broker does not answer.
        """
        self._publisher, self._store, self._say, self._now = publisher, store, say, now
        self._fleet, self._intake = Fleet(), Intake()
        self._heard: dict[str, float] = {}
        self._listening_since = self._last = now()
        self._states: Mapping[str, DesiredState] = {}  # by scope, as this turn found them
        self._rollouts: dict[str, _Kept] = {}
        self._said: dict[str, str] = {}
        self._intake.subscribe(publisher.link)

    @property
    def fleet(self) -> Fleet:
        """The devices as far as they were heard of; all that the broker retains, a moment after it was first asked."""
        return self._fleet

    def turn(self) -> None:
        """Take in what arrived, and conduct every rollout; what fails is said once and tried again."""
        rollouts, now = self._store.open(), self._now()
        self._take_in(rollouts, now)
        if not self._publisher.link.connected:
            return  # nothing is heard of anyone, and nothing can be told
        for state in rollouts:
            try:
                self._states = {one.state.scope: one.state for one in self._publisher.desired.all()}
                self._conduct(state)
                self._said.pop(state.id, None)
            except Exception as error:
                known = explained(error)
                if known is None:
                    raise
                if self._said.get(state.id) != str(known):
                    self._said[state.id] = str(known)
                    self._trouble(state.id, str(known))
        self._last = now

    def _trouble(self, rollout: str, text: str) -> None:
        """Said, and in the ledger for who looks there, as far as the disk takes it."""
        self._say(f"{rollout}: {text}")
        with contextlib.suppress(sqlite3.Error):
            self._store.note(rollout, Entry("trouble", text), self._now())

    def _take_in(self, rollouts: list[State], now: float) -> None:
        """Fold what arrived. After a time away, nobody was silent and nobody was late: this side did not listen."""
        here = {state.id for state in rollouts}
        self._rollouts = {id_: kept for id_, kept in self._rollouts.items() if id_ in here}
        for id_ in here - self._rollouts.keys():
            sightings = self._store.devices(id_, "sighting", sighting.decode)
            self._rollouts[id_] = _Kept(
                {device: sighting.gone_on(one, now) for device, one in sightings.items()},
                self._store.devices(id_, "evidence", evidence.decode),
            )
        if not -_AWAY_S <= now - self._last <= _AWAY_S:
            self._listening_since = now
            for kept in self._rollouts.values():
                kept.sightings = {device: sighting.gone_on(one, now) for device, one in kept.sightings.items()}
        for arrived in self._intake.take():
            match topics.parse(arrived.topic):
                case topics.DeviceTopic(device=device, leaf="telemetry"):
                    self._heard[device] = now
                    self._fold(device, arrived, rollouts)
                case topics.DeviceTopic(device=device):
                    before = self._fleet.devices.get(device)
                    self._fleet.apply(*arrived)
                    if self._fleet.devices.get(device) != before:  # not what a broker retained all the time
                        self._heard[device] = now

    def _fold(self, device: str, arrived: Arrived, rollouts: list[State]) -> None:
        known = self._fleet.devices.get(device)
        groups = known.info.groups if known is not None and known.info is not None else ()
        concerned = [state for state in rollouts if state.group in groups and state.phase not in machine.ENDED]
        if not concerned:
            return
        try:
            telemetry = decode(arrived.payload, Telemetry)
        except MessageError as error:
            self._fleet.malformed[arrived.topic] = str(error)
            return
        if telemetry.device != device:
            return
        for state in concerned:
            kept = self._rollouts[state.id]
            before = kept.evidence.get(device) or evidence.begin(state.release)
            after = before.take(telemetry, machine.stage_number(state))
            if after is before:
                kept.repeated += 1
                if kept.repeated == _REPEATED:
                    self._trouble(state.id, _NOT_ACKNOWLEDGED)
                continue
            kept.repeated = 0
            kept.evidence[device] = after
            kept.changed.add(device)

    def _conduct(self, state: State) -> None:
        if state.phase not in machine.ENDED and not self._listed(state):
            self._stepped(state.id, events.ReleaseWithdrawn(self._now()))
        current = self._reconcile(state.id)
        if current is None:
            return
        now = self._now()
        if current.phase not in machine.ENDED:
            position = machine.judged_position(current)
            verdict = None if position is None else self._judge(current, position, now)
            before = None if current.ready else self._judge_before(current)
            self._stepped(current.id, events.Judged(-1 if position is None else position, verdict, now, before))
            self._reconcile(state.id)
        elif current.returning and not self._still_run(current):
            self._stepped(current.id, events.Returned(now))

    def _judge(self, state: State, position: int, now: float) -> Verdict:
        """What the gates say of a stage; where its devices stand, and what they showed, is written down before."""
        kept = self._rollouts[state.id]
        self._keep_evidence(state.id)
        found = standings(
            state, position, self._fleet.devices.values(), self._states, kept.sightings, self.heard_of, now
        )
        kept.sightings |= found.sightings
        sightings = {device: sighting.encode(one) for device, one in found.sightings.items()}
        self._store.save_devices(state.id, "sighting", sightings)
        return judge(state, position, found, kept.evidence, now)

    def _judge_before(self, state: State) -> Verdict:
        """Whether enough is known of the first wave's devices, before they change."""
        self._keep_evidence(state.id)
        wave = machine.wave_of(state, state.stages[state.position])
        following = members(state.group, self._fleet.devices.values(), self._states)
        devices = [device.id for device in following if wave.includes(device.id)]
        return judge_before(state.plan, devices, self._rollouts[state.id].evidence)

    def _keep_evidence(self, rollout: str) -> None:
        kept = self._rollouts[rollout]
        changed = {device: evidence.encode(kept.evidence[device]) for device in kept.changed}
        self._store.save_devices(rollout, "evidence", changed)
        kept.changed.clear()

    def heard_of(self, device: str) -> float:
        """When something of this device was heard, last; seconds since 1970. Before this side listened nobody was."""
        return max(self._heard.get(device, 0.0), self._listening_since)

    def _reconcile(self, rollout: str) -> State | None:
        """Make the group's desired state say what is due; the rollout as it is then."""
        state = self._store.get(rollout)
        if state is None:
            return None
        if machine.due(state) is None and _assignment(self._publisher.desired.of(_scope(state))) == state.issued:
            return state
        if machine.due(state) is not None:
            self._prepare(state)
        # Read again under the folder's lock: a push or a person's command may have come before it.
        with self._publisher.releases.repository.locked():
            state = self._store.get(rollout)
            if state is None:
                return None
            says = self._publisher.desired.of(_scope(state))
            found = _assignment(says)
            if found is not None and not machine.is_own(state, found):
                why = f"Group {state.group} was given another desired state by hand."
                return self._stepped(rollout, events.Superseded(why, events.AUTOMATIC, self._now()))
            if (due := machine.due(state)) is None:
                return state
            again = machine.asks_again(state)
            issued_for_it = says is not None and says.state.issued == state.started
            if found == due and says is not None and (issued_for_it or not again):
                # Issued before a kill, and perhaps not published.
                self._publisher.states([says])
                return self._stepped(rollout, events.Issued(due, says.state.revision))
            issued = self._publisher.push(
                lambda: self._publisher.desired.issue(
                    _scope(state),
                    due.model,
                    wave=due.wave,
                    retry=again,
                    retried=0 if says is None else says.state.retry,
                    issued=state.started,  # its waves are one order: one for another group of a device may be later
                )
            )
            return self._stepped(rollout, events.Issued(due, issued.state.revision))

    def _prepare(self, state: State) -> None:
        """Publish the release before a desired state names it."""
        if state.phase in machine.ENDED and state.phase is not machine.Phase.COMPLETED:
            return  # back to what the broker holds anyway
        release = self._find(state)
        if release is None:
            return
        self._publisher.check_newest()
        self._publisher.releases.repository.refresh(only_when_due=True)
        self._publisher.check(release)
        self._publisher.release(release)
        self._publisher.metadata()

    def _find(self, state: State) -> Release | None:
        try:
            found = self._publisher.releases.find(state.release.name, state.release.release)
        except UsageError:
            return None
        return found if found.manifest.digest == state.release.digest else None

    def _listed(self, state: State) -> bool:
        listed = self._publisher.releases.repository.listed().values()
        return any(file.hashes.get("sha256") == state.release.digest for file in listed)

    def _still_run(self, state: State) -> bool:
        """Whether a device of the group is known to run the release."""
        following = members(state.group, self._fleet.devices.values(), self._states)
        active = [device.reported.active for device in following if device.reported is not None]
        return state.release in active

    def _stepped(self, rollout: str, event: Event) -> State | None:
        before = self._store.get(rollout)
        after = self._store.transition(rollout, event, self._now())
        if before is not None and after is not None and after.phase is not before.phase:
            self._say(f"{rollout}: {after.phase}{f', {after.reason}' if after.reason else ''}")
        return after


def _assignment(issued: Issued | None) -> Assignment | None:
    """What a desired state says; None where there is none."""
    return None if issued is None else Assignment(model=issued.state.model, wave=issued.state.wave)


def _scope(state: State) -> str:
    return str(Scope("group", state.group))
