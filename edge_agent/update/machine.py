"""The update, decided: a table of edges and a pure `step`. Nothing here touches a disk, a clock or the network.

`step(state, event)` gives the next state and what to do about it. The caller writes the state in one transaction
before it does any of it, so after a power cut the same work is simply done again: every work can be repeated, and
which slot must run is a function of the state (`running`), not of what was done before.

    idle → offered → downloading → verifying → staged → selftest → activating → probation → committed
           └────────── refused on the way: rejected ──────────┘      └─ fails there: rolled-back ─┘

What was damaged on this disk, at whatever phase, says nothing of the release: it is fetched again.

A target in shadow goes from selftest to shadowing instead. There it runs beside the committed model, which alone
answers. It leaves when the release side says so: to staged when it is to answer (or back from there), to offered when
something else is wanted. What fails in shadow is rejected.

    selftest → shadowing → staged → selftest → activating → …
                  └──── refused there: rejected
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_agent.models.slots import Slot
from edge_agent.update.events import (
    Activated,
    Admitted,
    AlreadyRunning,
    Booted,
    Confirmed,
    Damaged,
    Event,
    Fetched,
    Proven,
    Reconsidered,
    Refused,
    Retried,
    RollbackAsked,
    SelfTestPassed,
    Spoiled,
    Staged,
    Stopped,
    Target,
    Wanted,
)
from edge_contract import limits, update_state
from edge_contract.messages import Seconds
from edge_contract.update_state import UpdateState

Phase = UpdateState
"""Where an update stands; reported and stored as it is."""
SETTLED: Final = update_state.SETTLED
ON_TRIAL: Final = frozenset({Phase.ACTIVATING, Phase.PROBATION})
"""The target's slot is the one that runs."""
_COUNTED: Final = frozenset({Phase.SELFTEST, Phase.SHADOWING, Phase.ACTIVATING, Phase.PROBATION})
"""Phases in which the new model is run: one that takes the whole device down must not do so for ever."""


_TRIED: Final = frozenset({Phase.SHADOWING, Phase.ACTIVATING, Phase.PROBATION})
"""The target runs in the mode it is wanted in."""


class State(Struct, frozen=True, kw_only=True):
    """All that survives a restart."""

    phase: Phase = Phase.IDLE
    target: Target | None = None
    committed: Slot | None = None
    """Proved itself and runs unless a trial does; None is the factory model."""
    previous: Slot | None = None
    """Ran before `committed`; kept on disk to go back to."""
    trial: Slot | None = None
    """The target's slot, once it is staged."""
    boots: int = 0
    """Starts since the target's model was first run, or proved itself in shadow, that followed a crash or a power
    cut."""
    ended_cleanly: bool = False
    """The agent was stopped on purpose: its next start says nothing about the model."""
    reason: str = ""
    """Why the target was rejected or rolled back, or what a download waits for."""
    since: Seconds = 0.0
    """When this phase was reached with this target, as the runner stamps it; 0 from an earlier agent."""


def running(state: State) -> Slot | None:
    """The slot that has to run in this state; None is the factory model."""
    return state.trial if state.phase in ON_TRIAL else state.committed


def in_shadow(state: State) -> Slot | None:
    """The slot that has to run beside that one, and only counts; None where there is none."""
    return state.trial if state.phase is Phase.SHADOWING else None


EDGES: Final[Mapping[tuple[Phase, type], Phase]] = {
    # `Wanted` leads to OFFERED from everywhere (see `_wanted`): a newer desired state supersedes one that is stuck.
    (Phase.OFFERED, Admitted): Phase.DOWNLOADING,
    (Phase.OFFERED, AlreadyRunning): Phase.COMMITTED,
    (Phase.OFFERED, Refused): Phase.REJECTED,
    (Phase.DOWNLOADING, Fetched): Phase.VERIFYING,
    (Phase.DOWNLOADING, Refused): Phase.REJECTED,
    (Phase.VERIFYING, Staged): Phase.STAGED,
    (Phase.VERIFYING, Spoiled): Phase.DOWNLOADING,
    (Phase.VERIFYING, Refused): Phase.REJECTED,
    (Phase.STAGED, Confirmed): Phase.SELFTEST,
    (Phase.STAGED, Spoiled): Phase.OFFERED,
    (Phase.STAGED, Refused): Phase.REJECTED,
    (Phase.SELFTEST, SelfTestPassed): Phase.ACTIVATING,
    (Phase.SELFTEST, Spoiled): Phase.OFFERED,
    (Phase.SELFTEST, Refused): Phase.REJECTED,
    (Phase.SHADOWING, Proven): Phase.SHADOWING,
    (Phase.SHADOWING, Reconsidered): Phase.SHADOWING,
    (Phase.SHADOWING, Spoiled): Phase.OFFERED,
    (Phase.SHADOWING, Refused): Phase.REJECTED,
    (Phase.SHADOWING, RollbackAsked): Phase.ROLLED_BACK,
    (Phase.ACTIVATING, Activated): Phase.PROBATION,
    (Phase.ACTIVATING, Spoiled): Phase.OFFERED,
    (Phase.ACTIVATING, Refused): Phase.ROLLED_BACK,
    (Phase.PROBATION, Proven): Phase.COMMITTED,
    (Phase.PROBATION, Spoiled): Phase.OFFERED,
    (Phase.PROBATION, Refused): Phase.ROLLED_BACK,
    (Phase.COMMITTED, RollbackAsked): Phase.ROLLED_BACK,
    (Phase.REJECTED, Reconsidered): Phase.OFFERED,
    (Phase.REJECTED, Retried): Phase.OFFERED,
    (Phase.ROLLED_BACK, Retried): Phase.OFFERED,
    # No (ROLLED_BACK, Reconsidered): a model that failed while it ran is not tried again because a list changed.
    # No (PROBATION, RollbackAsked): a trial ends by its own evidence, or by a newer desired state.
}
SHADOW_EDGES: Final[Mapping[tuple[Phase, type], Phase]] = {
    **EDGES,
    (Phase.SELFTEST, SelfTestPassed): Phase.SHADOWING,
}
"""The same for a target in shadow."""


def edges(state: State) -> Mapping[tuple[Phase, type], Phase]:
    """The edges that hold for a state's target."""
    return SHADOW_EDGES if state.target is not None and state.target.mode == "shadow" else EDGES


# Commands: what to do, after the state was written.


class Work(enum.Enum):
    """The work of a phase; it ends in an event. Each can be repeated."""

    ADMIT = "admit"
    FETCH = "fetch"
    STAGE = "stage"
    CONFIRM = "confirm"
    SELFTEST = "selftest"
    SHADOW = "shadow"
    ACTIVATE = "activate"
    WATCH = "watch"
    TIDY = "tidy"


@dataclass(frozen=True, slots=True)
class Run:
    """Let the pipeline run `running(state)` again."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Note, in the same transaction as the state, that this digest failed here."""

    digest: str
    reason: str
    revision: int


Command = Work | Run | Remember

_WORK: Final[Mapping[Phase, Work]] = {
    Phase.IDLE: Work.TIDY,
    Phase.OFFERED: Work.ADMIT,
    Phase.DOWNLOADING: Work.FETCH,
    Phase.VERIFYING: Work.STAGE,
    Phase.STAGED: Work.CONFIRM,
    Phase.SELFTEST: Work.SELFTEST,
    Phase.SHADOWING: Work.SHADOW,
    Phase.ACTIVATING: Work.ACTIVATE,
    Phase.PROBATION: Work.WATCH,
    Phase.COMMITTED: Work.TIDY,
    Phase.ROLLED_BACK: Work.TIDY,
    Phase.REJECTED: Work.TIDY,
}


def work_of(state: State) -> Work:
    """What this state is there to do."""
    return _WORK[state.phase]


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The next state, and what to do once it is written. An event that does not belong to the phase changes nothing."""
    match event:
        case Wanted(target):
            return _wanted(state, target)
        case Booted():
            return _booted(state)
        case Stopped():
            return replace(state, ended_cleanly=True), ()
        case Damaged(reason):
            return _damaged(state, reason)
    phase = edges(state).get((state.phase, type(event)))
    if phase is None:
        return state, ()
    if state.phase is Phase.SHADOWING:
        return _shadowed(state, event, phase)
    after = replace(state, phase=phase, reason="", boots=state.boots if phase is Phase.PROBATION else 0)
    remember: tuple[Command, ...] = ()
    match event:
        case Staged(slot):
            after = replace(after, trial=slot)
        case Proven():
            after = replace(after, committed=state.trial, previous=state.committed, trial=None)
        case Refused(reason, blame):
            after = replace(after, reason=reason, trial=None)
            remember = _remember(state, reason) if blame else ()
        case RollbackAsked(reason):
            after = replace(after, reason=reason, committed=state.previous, previous=None)
        case Spoiled() if phase is Phase.OFFERED:
            after = replace(after, trial=None)
    return after, remember + _switch(state, after) + (work_of(after),)


def _wanted(state: State, target: Target) -> tuple[State, tuple[Command, ...]]:
    same_release = state.target is not None and state.target.model == target.model
    if same_release and state.phase not in {Phase.IDLE, Phase.REJECTED, Phase.ROLLED_BACK}:
        return _wanted_again(state, target)
    after = replace(state, phase=Phase.OFFERED, target=target, trial=None, boots=0, reason="")
    return after, (*_switch(state, after), work_of(after))


def _wanted_again(state: State, target: Target) -> tuple[State, tuple[Command, ...]]:
    """The model that is under way or runs: with a longer life, in the other mode, or compared on other terms."""
    before, after = state.target, replace(state, target=target)
    if before is not None and state.phase in _TRIED and before.mode != target.mode:
        after = replace(after, phase=Phase.STAGED, boots=0, reason="")  # its slot is here: nothing is fetched again
        return after, (*_switch(state, after), work_of(after))
    if before is not None and state.phase is Phase.SHADOWING and before.shadow != target.shadow:
        return after, (work_of(after),)
    return after, ()


def _shadowed(state: State, event: Event, phase: Phase) -> tuple[State, tuple[Command, ...]]:
    """What the edges out of SHADOWING do; those back into it keep what counts against the challenger, but for one."""
    after = replace(state, phase=phase, reason="", boots=0)
    remember: tuple[Command, ...] = ()
    match event:
        case Proven():
            return after, ()  # it goes on; the crashes before were not its fault
        case Reconsidered():
            after = replace(after, boots=state.boots)
        case Refused(reason, blame):
            after = replace(after, reason=reason, trial=None)
            remember = _remember(state, reason) if blame else ()
        case RollbackAsked(reason):
            if state.committed is None or state.target is None:
                return state, ()  # the factory model answers, and there is none before it
            # Away from the one that answers, so that one is the target now: reported as rolled back, and not taken up
            # again at once because a wave compares with it.
            target = replace(state.target, model=state.committed.model, mode="active", shadow=None)
            after = replace(after, reason=reason, target=target, committed=state.previous, previous=None, trial=None)
        case _:
            after = replace(after, trial=None)
    return after, remember + _switch(state, after) + (work_of(after),)


def _remember(state: State, reason: str) -> tuple[Command, ...]:
    """That the target failed here."""
    return () if state.target is None else (Remember(state.target.model.digest, reason, state.target.revision),)


def _booted(state: State) -> tuple[State, tuple[Command, ...]]:
    counted = state.phase in _COUNTED and not state.ended_cleanly
    state = replace(state, ended_cleanly=False)
    if state.phase not in _COUNTED:
        return state, (Run(), work_of(state))
    boots = state.boots + counted
    if boots <= limits.PROBATION_BOOTS:
        after = replace(state, boots=boots)
        # ACTIVATE runs the trial itself; in PROBATION it has to be started, else the committed one.
        started: tuple[Command, ...] = () if state.phase is Phase.ACTIVATING else (Run(),)
        return after, (*started, work_of(after))
    reason = f"the agent did not survive {limits.PROBATION_BOOTS} starts with this model: given up."
    after, commands = step(state, Refused(reason, blame=True))
    remember = (command for command in commands if isinstance(command, Remember))
    return after, (*remember, Run(), work_of(after))


def _damaged(state: State, reason: str) -> tuple[State, tuple[Command, ...]]:
    after = replace(state, committed=state.previous, previous=None)
    if state.phase in SETTLED:
        # Forget the target, so that the desired state brings the damaged model back as if it were new.
        after = replace(after, phase=Phase.IDLE, target=None, reason=reason)
    return after, _switch(state, after)


def _switch(before: State, after: State) -> tuple[Command, ...]:
    """Another slot has to run than before; ACTIVATE does that itself, with the trial's own consequences."""
    if after.phase is Phase.ACTIVATING or running(before) == running(after):
        return ()
    return (Run(),)
