"""Which faces are kept for labelling, and by what chance. Pure but for the draws it is given.

Per face track there is one decision a stratum, so that who sits for an hour is no more often in it than who passes:

- random: drawn at the first look, before anything is known of the answer. Of a track that is drawn, one look is kept,
  each of its first minute with the same chance: the first alone would show faces that are half in the picture.
- uncertain: drawn at the first look whose top probability is under the limit; that look is kept.
- disagreement: drawn when a model in shadow first names the face otherwise; the look of both is kept.

The chance of a draw is `budget.chance`, and is that crop's inclusion. A draw that the share alone would have won while
nothing is left of a cap is counted as capped: no inclusion speaks for it.

A model of whole pictures has one track without an end, which counts as a new one each minute. Not here: whether there
is consent (`observer`), what a crop is on the wire (`sender`).
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final

from edge_agent.inference.events import ModelAnswer, Shown
from edge_agent.sampling.budget import Caps, Demand, Spent, chance
from edge_contract.crop import Stratum

SPAN_S: Final = 60.0
"""Of a track's looks, those from which one is kept; and after it what has no end begins anew."""

Draw = Callable[[], float]
"""A number of [0, 1) by chance."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say."""

    share: float
    uncertain_below: float
    uncertain_share: float
    disagreement_share: float
    caps: Caps


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """A face to be kept."""

    stratum: Stratum
    inclusion: float
    shown: Shown
    taken: float
    """When it was looked at, trusted time."""
    other: ModelAnswer | None = None
    """The answer of the model in shadow, in the stratum of disagreements."""


@dataclass(frozen=True, slots=True)
class Face:
    """One track so far."""

    since: float
    """Moment of the first look, seconds of the scene."""
    looks: int = 0
    candidate: Pick | None = None
    """The look to be kept of a track that was drawn at random, as it stands."""
    decided: frozenset[Stratum] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """All that was decided of tracks that live, what was kept in the last day, and what came; start with `State()`."""

    faces: Mapping[int, Face] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    demand: Mapping[Stratum, Demand] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Now:
    """The circumstances of a look."""

    taken: float
    """Trusted time, seconds since 1970."""
    clock: float
    """Seconds of a clock that only grows, for the caps."""
    held: int
    """Bytes of crops on disk."""


@dataclass(frozen=True, slots=True)
class Step:
    """The state after an event, what to keep now, and how many draws the caps alone refused."""

    state: State
    picks: tuple[Pick, ...] = ()
    capped: int = 0


def looked(state: State, rules: Rules, shown: Shown, moment: float, now: Now, draw: Draw) -> Step:
    """The model answered a face. `moment`: of the frame in its scene, seconds."""
    picks: list[Pick] = []
    face = state.faces.get(shown.track)
    if face is not None and _endless(shown) and moment - face.since >= SPAN_S:
        picks += _candidate(face)
        face = None
    capped = 0
    if face is None:
        face = Face(moment, looks=1)
        state, face, pick, capped = _drawn(state, face, rules, "random", rules.share, shown, now, draw)
        face = replace(face, candidate=pick)
    elif face.candidate is not None:
        face, over = _next_look(face, shown, moment, now, draw)
        picks += over
    if "uncertain" not in face.decided and float(shown.answer.probabilities.max()) < rules.uncertain_below:
        share = rules.uncertain_share
        state, face, pick, refused = _drawn(state, face, rules, "uncertain", share, shown, now, draw)
        picks += [pick] if pick is not None else []
        capped += refused
    return Step(replace(state, faces={**state.faces, shown.track: face}), tuple(picks), capped)


def differed(state: State, rules: Rules, shown: Shown, other: ModelAnswer, now: Now, draw: Draw) -> Step:
    """A model in shadow named a face otherwise that was just looked at."""
    face = state.faces.get(shown.track)
    if face is None or "disagreement" in face.decided:
        return Step(state)
    share = rules.disagreement_share
    state, face, pick, capped = _drawn(state, face, rules, "disagreement", share, shown, now, draw)
    picks = () if pick is None else (replace(pick, other=other),)
    return Step(replace(state, faces={**state.faces, shown.track: face}), picks, capped)


def only(state: State, known: Set[int]) -> Step:
    """Tracks that are not known any more are over."""
    if known >= state.faces.keys():
        return Step(state)
    gone = [face for track, face in state.faces.items() if track not in known]
    faces = {track: face for track, face in state.faces.items() if track in known}
    return Step(replace(state, faces=faces), tuple(pick for face in gone for pick in _candidate(face)))


def without_candidates(state: State) -> State:
    """What was decided stands, and no picture is held."""
    return replace(state, faces={track: replace(face, candidate=None) for track, face in state.faces.items()})


def _drawn(
    state: State, face: Face, rules: Rules, stratum: Stratum, share: float, shown: Shown, now: Now, draw: Draw
) -> tuple[State, Face, Pick | None, int]:
    """Decide on a face in one stratum: the pick, or None; and 1 where the caps alone refused it."""
    face = replace(face, decided=face.decided | {stratum})
    chosen = stratum != "random"
    demand = state.demand.get(stratum, Demand()).one_more(now.clock)
    state = replace(state, demand={**state.demand, stratum: demand})
    odds = chance(share, rules.caps, state.spent, demand, now.held, now.clock, chosen=chosen)
    drawn = draw()
    if drawn >= odds:
        return state, face, None, int(odds == 0.0 and drawn < share)
    spent = state.spent.one_more(now.clock, chosen=chosen)
    return replace(state, spent=spent), face, Pick(stratum, odds, shown, now.taken), 0


def _next_look(face: Face, shown: Shown, moment: float, now: Now, draw: Draw) -> tuple[Face, list[Pick]]:
    """One more look at a face that was drawn: it takes the place of the one before by a chance that makes all equal."""
    if moment - face.since >= SPAN_S:
        return replace(face, candidate=None), list(_candidate(face))
    looks, before = face.looks + 1, face.candidate
    if before is not None and draw() < 1.0 / looks:
        before = replace(before, shown=shown, taken=now.taken)
    return replace(face, looks=looks, candidate=before), []


def _candidate(face: Face) -> Iterable[Pick]:
    return () if face.candidate is None else (face.candidate,)


def _endless(shown: Shown) -> bool:
    return shown.answer.manifest.crop.around == "frame"
