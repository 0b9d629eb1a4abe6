"""The rollout, decided: a pure `step`. Nothing here touches a disk, a clock or the network.

`step(state, event)` gives the next state and what the ledger says of it. Both are written in one transaction before
anything is published. What is to be published is a function of the state (`due`), not of what was done before: after a
kill it is simply done again, and what is issued already is not issued twice.

    waiting → shadow → waiting → wave 1 → … → waiting → wave n → completed
       └───────┴── a gate fails, the release is withdrawn: halted; a person: aborted; a newer state: superseded ──┘

`waiting` is passed at once where no approval is asked for and a window is open. A pause is no phase: it stops what
advances, and not what protects. So a paused rollout, or one that waits for an approval, still halts where its devices
fail. When it halts or is aborted with `revert`, everyone runs again what the group ran before.
"""

import enum
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge_contract.messages import Count, Id, ModelRef, Seconds, Share
from edge_contract.wave import CANARIES, Mode, ShadowTerms, Wave
from edge_fleet.rollout.events import (
    AUTOMATIC,
    Aborted,
    Approved,
    Assignment,
    Entry,
    Event,
    Issued,
    Judged,
    Paused,
    ReleaseWithdrawn,
    Resumed,
    Returned,
    Superseded,
)
from edge_fleet.rollout.gates.verdict import Outcome, Verdict
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.plans.window import within


class Phase(enum.StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"
    """Its next stage has not begun: an approval or a window is missing."""
    SHADOW = "shadow"
    WAVE = "wave"
    COMPLETED = "completed"
    HALTED = "halted"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"


ENDED: Final = frozenset({Phase.COMPLETED, Phase.HALTED, Phase.ABORTED, Phase.SUPERSEDED})
"""Nothing of it is judged or issued any more, but for what its last step wanted."""


class Stage(Struct, frozen=True, kw_only=True):
    """The shadow or one wave, fixed when the rollout starts; devices that come later classify themselves."""

    number: Count
    """As in the plan: 0 is the shadow, waves count from 1. One that would add nobody is left out."""
    share: Share
    canaries: Annotated[tuple[Id, ...], Meta(max_length=CANARIES)] = ()

    @property
    def mode(self) -> Mode:
        """How its devices run the release."""
        return "active" if self.number else "shadow"

    def __str__(self) -> str:
        return f"wave {self.number}" if self.number else "the shadow"


class Pause(Struct, frozen=True, kw_only=True):
    """Nothing advances until a person resumes it."""

    by: str
    why: str
    since: Seconds


class State(Struct, frozen=True, kw_only=True):
    """All that survives a restart."""

    id: Id
    group: Id
    release: ModelRef
    rest: ModelRef
    """What the group ran before, and what it runs again when this fails."""
    plan: Plan
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]
    started: Seconds
    by: str
    issued: Assignment
    """What the group's desired state says by now, as far as this rollout knows."""
    wanted: Assignment
    """What it is to say."""
    unsure: tuple[Assignment, ...] = ()
    """What was wanted in between, and may have been issued before a kill or while a person decided otherwise."""
    phase: Phase = Phase.WAITING
    position: Count = 0
    """Of the stage that runs or, while `waiting`, that begins next."""
    begun: tuple[Seconds, ...] = ()
    """When each stage began."""
    patience: Seconds = 0.0
    """Since when the stage is waited for: its beginning, or the last `resume`."""
    approved: tuple[int, ...] = ()
    ready: bool = True
    """Enough is known of what devices answered before the first of them changes; a shadow takes that time anyway."""
    pause: Pause | None = None
    verdict: Verdict | None = None
    """The last, of the stage that runs or ran last."""
    reason: str = ""
    """Why it ended."""
    ended: Seconds = 0.0
    revision: Count = 0
    """Of the first desired state that was issued for it: what devices report of an older one is not of this rollout."""
    retry: bool = False
    """Devices where this very model failed before try it once more."""
    agreement: Share | None = None
    """Of the release with `rest` on the gate's test pictures, where the gate compared these two."""
    returning: bool = False
    """Devices that ran the release are on their way back."""


def step(state: State, event: Event) -> tuple[State, tuple[Entry, ...]]:
    """The next state, and what the ledger says. An event that does not belong to the state changes nothing."""
    after, entries = _step(state, event)
    overtaken = due(state)
    if overtaken is not None and after.wanted != overtaken and not isinstance(event, Superseded):
        after = replace(after, unsure=(*state.unsure, overtaken))
    return after, entries


def is_own(state: State, assignment: Assignment) -> bool:
    """Whether a group's desired state can be this rollout's doing; else somebody pushed."""
    return assignment in (state.issued, state.wanted, *state.unsure)


def _step(state: State, event: Event) -> tuple[State, tuple[Entry, ...]]:
    match event:
        case Issued(assignment, revision):
            if assignment != state.wanted:
                return state, ()
            return replace(state, issued=assignment, unsure=(), revision=state.revision or revision), ()
        case Returned():
            return _returned(state)
        case Superseded(why, by, now):
            return _superseded(state, why, by, now)
    if state.phase in ENDED:
        return state, ()
    match event:
        case Judged():
            return _judged(state, event)
        case Approved(number, by, now) if number in approvals(state):
            after = replace(state, approved=(*state.approved, number))
            return _then_begin(after, (Entry("approve", f"{_named(number)} may begin.", by),), now)
        case Paused(by, why, now) if state.pause is None:
            text = f"Paused{f': {why}' if why else ''}."
            return replace(state, pause=Pause(by=by, why=why, since=now)), (Entry("pause", text, by),)
        case Resumed(by, now) if state.pause is not None:
            after = replace(state, pause=None, patience=now)
            return _then_begin(after, (Entry("resume", "Goes on.", by),), now)
        case Aborted():
            return _aborted(state, event)
        case ReleaseWithdrawn(now):
            return _back(state, Phase.HALTED, f"{_release(state)} was withdrawn.", AUTOMATIC, now)
    return state, ()


def is_open(state: State) -> bool:
    """Whether something is to be done for it: judged, issued, or watched until its devices are back."""
    return state.phase not in ENDED or due(state) is not None or state.returning


def is_settled(state: State) -> bool:
    """It ended and its group is told, or it goes on only after a person's word."""
    if state.phase in ENDED:
        return due(state) is None
    return state.pause is not None or needs_approval(state)


def due(state: State) -> Assignment | None:
    """What has to be issued and published; None where the group's desired state says it."""
    return state.wanted if state.unsure or state.wanted != state.issued or asks_again(state) else None


def asks_again(state: State) -> bool:
    """Whether what is issued next asks devices to retry: the first that is, also where it says what stood there."""
    return state.retry and not state.revision and bool(state.begun) and state.phase not in ENDED


def judged_position(state: State) -> int | None:
    """Of the stage whose devices are to be judged: also while the next one waits. None where there is none."""
    if state.phase in ENDED or due(state) is not None:
        return None
    position = state.position - (state.phase is Phase.WAITING)
    return position if position >= 0 else None


def stage_number(state: State) -> int:
    """Of the stage that began last, as in the plan; 0 while no wave did."""
    return state.stages[len(state.begun) - 1].number if state.begun else 0


def approvals(state: State) -> list[int]:
    """Numbers of the stages for which a person is still to be asked; those of stages left out count for the next."""
    begun = state.stages[state.position].number if state.phase is not Phase.WAITING else _before(state)
    return sorted({number for number in state.plan.approve if number > begun} - set(state.approved))


def waits_for(state: State, now: float) -> str:
    """What the next stage, or a paused rollout, waits for, in words without a full stop; empty where it does not."""
    if state.phase in ENDED:
        return ""
    if state.pause is not None:
        return f"`edgewise rollout resume {state.id}`"
    if state.phase is not Phase.WAITING:
        return ""
    if not state.ready:
        return "what its devices answer now, to compare with"
    if needs_approval(state):
        return f"`edgewise rollout approve {state.id}`"
    return "" if within(state.plan.windows, now) else f"its window ({', '.join(state.plan.windows)} UTC)"


def wave_of(state: State, stage: Stage) -> Wave:
    """The stage as devices are told."""
    terms = ShadowTerms() if state.plan.shadow is None else state.plan.shadow.terms
    return Wave(
        model=state.release,
        mode=stage.mode,
        share=stage.share,
        salt=state.release.digest,
        canaries=stage.canaries,
        shadow=terms,
    )


def _judged(state: State, event: Judged) -> tuple[State, tuple[Entry, ...]]:
    if not state.ready and event.before is not None:
        state = replace(state, ready=event.before.outcome is Outcome.PASS, verdict=event.before)
    if event.position == judged_position(state) and event.verdict is not None:
        state = replace(state, verdict=event.verdict)
        stage = state.stages[event.position]
        if event.verdict.outcome is Outcome.FAIL:
            return _back(state, Phase.HALTED, f"In {stage}: {event.verdict.text}", AUTOMATIC, event.now)
        if state.phase is not Phase.WAITING:
            return _advanced(state, event.verdict, event.now)
    return _then_begin(state, (), event.now)


def _advanced(state: State, verdict: Verdict, now: float) -> tuple[State, tuple[Entry, ...]]:
    """After a verdict of the stage that runs, which is no failure."""
    stage = state.stages[state.position]
    if state.pause is not None:
        return state, ()
    if verdict.outcome is Outcome.INCONCLUSIVE:
        shadow = state.plan.shadow
        if state.phase is Phase.SHADOW and shadow is not None and now - state.patience > shadow.timeout:
            why = f"{verdict.text} Nothing more came in {shadow.timeout / 3600:g} h"
            pause = Pause(by=AUTOMATIC, why=why, since=now)
            return replace(state, pause=pause), (Entry("pause", f"Paused: {why}."),)
        return state, ()
    passed = Entry("pass", f"{str(stage).capitalize()} passed. {verdict.text}")
    if state.position + 1 < len(state.stages):
        return _then_begin(replace(state, phase=Phase.WAITING, position=state.position + 1), (passed,), now)
    after = replace(state, phase=Phase.COMPLETED, ended=now, wanted=Assignment(model=state.release))
    done = Entry("complete", f"All of group {state.group} is to run {_release(state)}.")
    return replace(after, reason=done.text), (passed, done)


def _then_begin(state: State, entries: tuple[Entry, ...], now: float) -> tuple[State, tuple[Entry, ...]]:
    """Begin the next stage, where one waits and nothing holds it."""
    if state.phase is not Phase.WAITING or state.pause is not None or due(state) is not None or waits_for(state, now):
        return state, entries
    stage = state.stages[state.position]
    after = replace(
        state,
        phase=Phase.WAVE if stage.number else Phase.SHADOW,
        begun=(*state.begun, now),
        patience=now,
        verdict=None,
        wanted=Assignment(model=state.rest, wave=wave_of(state, stage)),
    )
    named = f" and {len(stage.canaries)} named" if stage.canaries else ""
    text = f"{str(stage).capitalize()} begins: {stage.share:.4g} of the group{named}."
    return after, (*entries, Entry("begin", text))


def _aborted(state: State, event: Aborted) -> tuple[State, tuple[Entry, ...]]:
    if event.outcome == "revert" or not _active(state):
        return _back(state, Phase.ABORTED, f"Aborted: {_going_back(state)}", event.by, event.now)
    reason = f"Aborted: who runs {_release(state)} keeps it."
    after = replace(state, phase=Phase.ABORTED, reason=reason, ended=event.now, pause=None)
    return after, (Entry("abort", reason, event.by),)


def _back(state: State, phase: Phase, why: str, by: str, now: float) -> tuple[State, tuple[Entry, ...]]:
    """End it, and everyone runs what the group ran."""
    after = replace(
        state,
        phase=phase,
        reason=why,
        ended=now,
        pause=None,
        wanted=Assignment(model=state.rest) if state.begun else state.issued,
        returning=_active(state),
    )
    if phase is Phase.HALTED:
        return after, (Entry("halt", f"{why} {_going_back(state).capitalize()}", by),)
    return after, (Entry("abort", why, by),)


def _returned(state: State) -> tuple[State, tuple[Entry, ...]]:
    if not state.returning or due(state) is not None:
        return state, ()
    text = f"No device of group {state.group} runs {_release(state)} any more."
    return replace(state, returning=False), (Entry("returned", text),)


def _superseded(state: State, why: str, by: str, now: float) -> tuple[State, tuple[Entry, ...]]:
    """The group is somebody else's by now: what was wanted and is not issued yet never will be."""
    if state.phase in ENDED:
        return replace(state, wanted=state.issued, unsure=(), returning=False), ()
    after = replace(state, phase=Phase.SUPERSEDED, reason=why, ended=now, pause=None, wanted=state.issued, unsure=())
    return after, (Entry("supersede", why, by),)


def needs_approval(state: State) -> bool:
    """Whether a stage waits, and a person has not approved it."""
    return state.phase is Phase.WAITING and any(
        number <= state.stages[state.position].number for number in approvals(state)
    )


def _before(state: State) -> int:
    """The number of the stage before the one that waits."""
    return state.stages[state.position - 1].number if state.position else -1


def _active(state: State) -> bool:
    """Whether devices were told to run the release, and not only to compare it."""
    return any(stage.number for stage in state.stages[: len(state.begun)])


def _going_back(state: State) -> str:
    runs = f"{state.rest.name} {state.rest.release}"
    return f"everyone runs {runs} again." if _active(state) else f"everyone still runs {runs}."


def _release(state: State) -> str:
    return f"{state.release.name} {state.release.release}"


def _named(number: int) -> str:
    return f"Wave {number}" if number else "The shadow"
