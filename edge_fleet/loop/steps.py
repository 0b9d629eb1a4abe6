"""One transition of a run, as a step of it and a line of the ledger. Pure."""

from typing import Final

from msgspec.structs import replace

from edge_contract.loop_status import LoopStep, Phase
from edge_contract.visible import visible
from edge_fleet.loop.decide import TRAINS
from edge_fleet.loop.events import AUTOMATIC, Entry
from edge_fleet.loop.state import RECENT, STEPS, Run, State

_TEXT: Final = 1000
_FIRST: Final = 8
"""Steps of a long run that are kept from its beginning."""


def to_phase(
    state: State, run: Run, phase: Phase, text: str, now: float, by: str = AUTOMATIC
) -> tuple[State, tuple[Entry, ...]]:
    """The state in which the run is in this phase. `text`: what happened, a sentence or nearly."""
    text = sentence(text)
    since = now if phase != run.phase else run.since
    run = replace(run, phase=phase, steps=_with(run.steps, LoopStep(phase=phase, text=text, time=now)), since=since)
    return replace(state, current=run), (Entry(phase, text, by, run.id),)


def to_end(
    state: State, run: Run, phase: Phase, text: str, now: float, by: str = AUTOMATIC
) -> tuple[State, tuple[Entry, ...]]:
    """The state in which the run has ended so."""
    state, entries = to_phase(state, run, phase, text, now, by)
    over = replace(current(state), ended=now)
    trained = run.decision in TRAINS and phase != "rehearsed"
    last = now if trained else state.last_trained
    left = tuple(each for each in state.accepted if each.used != run.id)
    recent = (over, *state.recent)[:RECENT]
    return replace(state, current=None, recent=recent, last_trained=last, accepted=left), entries


def current(state: State) -> Run:
    """The run that is under way, where there is one for certain."""
    assert state.current is not None  # noqa: S101  # the callers have just set it
    return state.current


def sentence(text: str) -> str:
    """With a capital letter and a full stop, fit to be shown."""
    return cut(f"{text[:1].upper()}{text[1:]}".rstrip(".") + ".")


def cut(text: str) -> str:
    """Fit to be shown, and no longer than a step may be."""
    shown = visible(text)
    return shown if len(shown) <= _TEXT else shown[: _TEXT - 1] + "…"


def _with(steps: tuple[LoopStep, ...], new: LoopStep) -> tuple[LoopStep, ...]:
    steps = (*steps, new)
    return steps if len(steps) <= STEPS else (*steps[:_FIRST], *steps[_FIRST + 1 :])
