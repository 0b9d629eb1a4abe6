"""All of a loop that survives a restart: the run that is under way, those before, and what limits the next. Pure."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from edge_contract.loop_status import Decision, LoopRun, Phase
from edge_contract.messages import Count, Id, Seconds

RECENT: Final = 16
"""Ended runs that are shown."""
STEPS: Final = 64
"""Of one run; of more, the first and the last ones."""
WEEK_S: Final = 7 * 86400.0
OPEN: Final[frozenset[Phase]] = frozenset({"training", "gating", "registering", "rolling-out", "approval", "promoting"})
"""Phases that a run stays in: the two before them are passed in one step."""
ATTEMPTS: Final = 3
"""A training that was lost (the machine went down) is begun again under the same run id, so many times in all."""


class Run(LoopRun, frozen=True, kw_only=True):
    """A run, with what is needed to go on with it."""

    package: str = ""
    """The file that came of the training."""
    augmentation: str = ""
    """RETRAIN_CAUSE of the training; empty for one with labels alone."""
    attempts: tuple[Seconds, ...] = ()
    """When the training was begun, and begun again."""
    since: Seconds = 0.0
    """When its phase began."""


class Clearing(Struct, frozen=True, kw_only=True):
    """What a stopped run may have left under way: its training is ended, its rollout aborted, wherever they are."""

    run: Id
    by: str
    rollout: str = ""
    """Empty while it is not known whether there is one."""


class Acceptance(Struct, frozen=True, kw_only=True):
    """A person's word that a cause is the new normal. One training uses it up: the next change is a new question."""

    device: str
    cause: str
    by: str
    given: Seconds
    used: str = ""
    """The run that trains for it; it goes when that ends."""


class Handled(Struct, frozen=True, kw_only=True):
    """An alert that was decided about."""

    starts: Seconds
    """Since when it fired: one that ended and fires anew is a new one."""
    decision: Decision
    device: str = ""
    rehearsed: bool = False
    """In a dry run alone: once that is over it is new again."""


class State(Struct, frozen=True, kw_only=True):
    """The loop of one model."""

    model: Id
    sequence: Count = 0
    """Of the last run."""
    paused: str = ""
    """By whom and why; empty while it is not."""
    current: Run | None = None
    clearing: tuple[Clearing, ...] = ()
    recent: Annotated[tuple[Run, ...], Meta(max_length=RECENT)] = ()
    """Ended, the newest first."""
    trainings: tuple[Seconds, ...] = ()
    """When those of the last week began."""
    last_trained: Seconds = 0.0
    """When the last run that trained ended, however it did; 0 for never."""
    accepted: tuple[Acceptance, ...] = ()
    handled: dict[str, Handled] = {}
    """By fingerprint, of alerts that still fire."""
    waits: str = ""
    """Why a training that is wanted does not begin; empty where none is."""


def waits_until(state: State, cooldown: float) -> float:
    """The end of the cooldown, which lasts so many seconds; 0 for none."""
    return state.last_trained + cooldown if state.last_trained else 0.0


def budget_left(state: State, trainings_per_week: int, now: float) -> int:
    """Trainings that may still begin this week."""
    return max(0, trainings_per_week - sum(now - began < WEEK_S for began in state.trainings))
