"""The loop as a pure step: a state and an event give the next state and what the ledger says.

    alerts → told | labels-asked | ignored | rehearsed (a dry run)
           → training → gating → registering → rolling-out ⇄ approval → promoting → promoted
                 └─────────┴── refused (by the gate), failed; a rollout that halts: undone; a person: stopped

What is to be done is seen from the state (`due`), and each step can be looked up before it is repeated: a training by
its run, a rollout by who started it. So a kill at any moment is followed by the same step, done or found to be done.

One run at a time, and one training: nothing begins while a run is open or something of a stopped one is still to be
ended. Nothing here knows a limit of the gate: what it refuses is refused, and no event leads from there to a release.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge_fleet.loop.beginning import looked
from edge_fleet.loop.decide import TRAINS
from edge_fleet.loop.diagnose import EVERY
from edge_fleet.loop.events import (
    AUTOMATIC,
    Accepted,
    Attempted,
    Checked,
    Cleared,
    Entry,
    Event,
    Failed,
    GateRefused,
    Looked,
    OfRun,
    Paused,
    Promoted,
    Registered,
    Resumed,
    RolloutSeen,
    RolloutStarted,
    Stopped,
    Trained,
)
from edge_fleet.loop.state import Acceptance, Clearing, Run, State
from edge_fleet.loop.steps import cut, to_end, to_phase

_ACCEPTED: Final = 1000
"""Words of people that are kept."""


class Work(StrEnum):
    """What is to be done next."""

    CLEAR = "clear"
    TRAIN = "train"
    CHECK = "check"
    REGISTER = "register"
    ROLL_OUT = "roll out"
    WATCH = "watch"
    PROMOTE = "promote"


class Due(NamedTuple):
    """One piece of work."""

    work: Work
    run: Run | Clearing
    begin: bool = True
    """Whether a training that is not under way may begin: not while the loop is paused."""


def step(state: State, event: Event) -> tuple[State, tuple[Entry, ...]]:
    """The next state, and what the ledger says. An event that does not belong to the state changes nothing."""
    match event:
        case Looked():
            return looked(state, event)
        case Paused(by, why, _) if not state.paused:
            text = cut(f"{by}: {why}" if why else f"by {by}")
            return replace(state, paused=text), (Entry("pause", f"Paused{f': {why}' if why else ''}.", by),)
        case Resumed(by, _) if state.paused:
            return replace(state, paused=""), (Entry("resume", "Goes on.", by),)
        case Accepted():
            return _accepted(state, event)
        case Stopped() if state.current is not None:
            return _stopped(state, state.current, event)
        case Cleared(run, text, _) if any(each.run == run for each in state.clearing):
            left = tuple(each for each in state.clearing if each.run != run)
            return replace(state, clearing=left), (Entry("cleared", text, run=run),)
        case RolloutStarted(run, rollout, _) if state.current is None or state.current.id != run:
            return _late_rollout(state, run, rollout)
    if isinstance(event, OfRun) and state.current is not None and state.current.id == event.run:
        return _of_run(state, state.current, event)
    return state, ()


def due(state: State) -> Due | None:
    """What has to be done now; None where an alert, a rollout or a person is waited for."""
    if state.clearing:
        return Due(Work.CLEAR, state.clearing[0])
    run = state.current
    if run is None:
        return None
    match run.phase:
        case "training":
            return Due(Work.TRAIN, run, begin=not state.paused)
        case "gating":
            return Due(Work.CHECK, run)
        case "rolling-out" | "approval" if run.rollout:
            return Due(Work.WATCH, run)
    if state.paused:
        return None
    steps = {"registering": Work.REGISTER, "rolling-out": Work.ROLL_OUT, "promoting": Work.PROMOTE}
    return Due(steps[run.phase], run) if run.phase in steps else None


def _of_run(state: State, run: Run, event: OfRun) -> tuple[State, tuple[Entry, ...]]:
    now = event.now
    match run.phase, event:
        case "training", Attempted():
            run = replace(run, attempts=(*run.attempts, now))
            text = "The training begins." if len(run.attempts) == 1 else "The training was lost, and begins again."
            return replace(state, current=run), (Entry("attempt", text, run=run.id),)
        case "training", Trained(_, package, release, measured):
            run = replace(run, package=package, release=release, measured=measured)
            return to_phase(
                replace(state, current=run), run, "gating", f"{release.name} {release.release} came of it", now
            )
        case "gating", Checked():
            return to_phase(state, run, "registering", "The gate passed it", now)
        case "registering", Registered(_, text):
            return to_phase(state, run, "rolling-out", text, now)
        case "rolling-out", RolloutStarted(_, rollout) if not run.rollout:
            run = replace(run, rollout=rollout)
            return to_phase(replace(state, current=run), run, "rolling-out", f"{rollout} rolls it out", now)
        case (("rolling-out" | "approval"), RolloutSeen()) if run.rollout:
            return _seen(state, run, event)
        case "promoting", Promoted(_, text):
            return to_end(state, run, "promoted", text, now)
        case (("training" | "gating" | "registering" | "rolling-out"), GateRefused(_, reasons)):
            state, entries = to_end(state, run, "refused", f"The gate refused it: {'; '.join(reasons)}", now)
            return state, entries
        case phase, Failed(_, why):
            if phase == "training" and run.attempts and not event.ended:
                state = replace(state, clearing=(*state.clearing, Clearing(run=run.id, by=AUTOMATIC)))
            return to_end(state, run, "failed", why, now)
    return state, ()


def _seen(state: State, run: Run, event: RolloutSeen) -> tuple[State, tuple[Entry, ...]]:
    match event.standing:
        case "waits" if run.phase != "approval":
            return to_phase(state, run, "approval", event.text, event.now)
        case "runs" if run.phase != "rolling-out":
            return to_phase(state, run, "rolling-out", event.text, event.now)
        case "completed":
            return to_phase(state, run, "promoting", event.text, event.now)
        case "halted":
            return to_end(state, run, "undone", event.text, event.now)
        case "ended":
            return to_end(state, run, "stopped", event.text, event.now)
    return state, ()


def _stopped(state: State, run: Run, event: Stopped) -> tuple[State, tuple[Entry, ...]]:
    why = f": {event.why}" if event.why else ""
    clearing = Clearing(run=run.id, by=event.by, rollout=run.rollout)
    state = replace(state, clearing=(*state.clearing, clearing))
    return to_end(state, run, "stopped", f"Stopped by {event.by}{why}", event.now, by=event.by)


def _late_rollout(state: State, run: str, rollout: str) -> tuple[State, tuple[Entry, ...]]:
    """A rollout whose run ended while it was being started is aborted."""
    if any(each.run == run for each in state.clearing):
        return state, ()
    clearing = Clearing(run=run, by=AUTOMATIC, rollout=rollout)
    return replace(state, clearing=(*state.clearing, clearing)), ()


def _accepted(state: State, event: Accepted) -> tuple[State, tuple[Entry, ...]]:
    others = tuple(each for each in state.accepted if (each.device, each.cause) != (event.device, event.cause))
    what = f"{event.cause} on {event.device}"
    if event.taken_back:
        if others == state.accepted:
            return state, ()
        return replace(state, accepted=others), (Entry("take-back", f"{what} is not accepted any more.", event.by),)
    given = Acceptance(device=event.device, cause=event.cause, by=event.by, given=event.now)
    again = {  # a training that came of an earlier word and failed may be tried once more
        key: each
        for key, each in state.handled.items()
        if each.decision not in TRAINS or event.device not in {each.device, EVERY}
    }
    after = replace(state, accepted=(*others, given)[-_ACCEPTED:], handled=again)
    return after, (Entry("accept", f"{what} is accepted.", event.by),)
