"""How the retraining loop of a model stands: what `edgewise loop serve` tells those who watch.

Retained, unsigned, and for people: nothing is decided by it.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from edge_contract.messages import Count, Id, Message, ModelRef, Reading, Seconds, Text

Decision = Literal["tell", "ask-labels", "retrain-augmented", "retrain-labelled", "ignore"]
"""What the loop does about an alert: a camera that was turned needs a person, not a training."""

Phase = Literal[
    "diagnosing", "deciding", "training", "gating", "registering", "rolling-out", "approval", "promoting",
    "told", "labels-asked", "ignored", "refused", "failed", "stopped", "undone", "promoted", "rehearsed",
]  # fmt: skip
ENDED: Final[frozenset[Phase]] = frozenset(
    {"told", "labels-asked", "ignored", "refused", "failed", "stopped", "undone", "promoted", "rehearsed"}
)
"""`refused`: by the gate. `stopped`: by a person. `undone`: the rollout halted. `rehearsed`: a dry run."""


class LoopStep(Struct, frozen=True, kw_only=True):
    """One transition, as it stands in the ledger."""

    phase: Phase
    text: Text
    """One sentence."""
    time: Seconds


class LoopRun(Struct, frozen=True, kw_only=True):
    """From one alert to its end."""

    id: Id
    alert: Annotated[str, Meta(max_length=128)]
    """Its name, such as EdgewiseDrift."""
    devices: Annotated[tuple[Id, ...], Meta(max_length=128)] = ()
    cause: Annotated[str, Meta(max_length=64)] = ""
    """As the bridge names it; empty while it is not known."""
    decision: Decision | None = None
    phase: Phase
    steps: Annotated[tuple[LoopStep, ...], Meta(max_length=64)] = ()
    release: ModelRef | None = None
    """The challenger that came of it."""
    rollout: Annotated[str, Meta(max_length=64)] = ""
    measured: Annotated[dict[Annotated[str, Meta(max_length=64)], Reading], Meta(max_length=32)] = {}
    """Figures of the gate, such as `field_accuracy_before` and `field_accuracy_after`."""
    began: Seconds
    ended: Seconds = 0.0


class LoopStatus(Message, frozen=True, kw_only=True):
    """The loop of one model, at one time."""

    model: Id
    paused: Text = ""
    """By whom and why; empty while it is not."""
    current: LoopRun | None = None
    recent: Annotated[tuple[LoopRun, ...], Meta(max_length=16)] = ()
    """Ended, the newest first."""
    waits_until: Seconds = 0.0
    """The end of the cooldown; 0 for none."""
    budget_left: Count = 0
    """Trainings that may still begin this week."""
    time: Seconds
