"""What is done about a cause: a table, as docs/loop.md shows it. Pure.

A camera that was covered, turned or blurred, or a lamp that went out, needs a person: a model that is trained on such
pictures learns to answer them, and nobody mends the camera. Training needs something new to learn from: labels from the
field, or a change of light that a person said is to stay.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from edge_contract.loop_status import Decision

Cause = Literal[
    "covered", "turned", "blurred", "dark", "bright", "far", "fleet", "unknown", "answers", "estimate", "other"
]
"""As docs/drift.md has them. `estimate`: the estimated accuracy is low, and no camera says why. `other`: the alert is
not about answers."""
CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)
"""Of several on one device the first counts: what is wrong with a camera explains its answers."""
TRAINS: Final[frozenset[Decision]] = frozenset({"retrain-augmented", "retrain-labelled"})
CAMERA: Final[frozenset[Cause]] = frozenset({"covered", "turned", "blurred"})
"""For a person, always: accepting one of these is refused."""
LIGHT: Final[frozenset[Cause]] = frozenset({"dark", "bright", "far"})
"""May be the new normal, where a person says so."""
LOOKED_AT: Final[frozenset[Cause]] = frozenset({"fleet", "unknown"})
"""Accepted, they say that a person looked at the pictures and found nothing wrong with them."""
ACCEPTABLE: Final[frozenset[Cause]] = LIGHT | LOOKED_AT
AUGMENTATION: Final[dict[Cause, str]] = {"dark": "dark", "bright": "bright", "far": "far"}
"""RETRAIN_CAUSE of a training with augmentation."""

_PERSON: Final[dict[Cause, str]] = {
    "covered": "the camera is covered: take away what hangs before the lens; no training",
    "turned": "a turned camera needs a person: straighten it; no training",
    "blurred": "the lens is dirty or out of focus: clean it; no training",
    "dark": "the pictures are darker: look at lamps and blinds; if it is to stay so, accept it; no training",
    "bright": "the pictures are brighter: look at blinds and the sun; if it is to stay so, accept it; no training",
    "far": "faces are smaller: has the camera moved? If people are to stand there, accept it; no training",
    "fleet": "many cameras at once: suspect the release or the day, and go back if it is new; no training",
    "unknown": "the cause is not known: look at the picture, and accept it if nothing is wrong with it; no training",
}


@dataclass(frozen=True, slots=True)
class Labels:
    """What labels from the field say of the release that alerts."""

    counted: int = 0
    """Of the random stratum, no device with more than its share."""
    wanted: int = 1
    low: float | None = None
    high: float | None = None
    """Interval of the labelled accuracy; None where there are no labels."""
    expected: float | None = None
    """What the test split showed; None where nothing says it."""
    problem: str = ""
    """Why they cannot be read; then they count as none."""

    @property
    def enough(self) -> bool:
        """Whether there is something to learn from."""
        return self.counted >= self.wanted and self.high is not None

    @property
    def lower(self) -> bool | None:
        """Whether the release is right less often than its test promised, beyond chance; None where nothing says it."""
        if self.high is None or self.expected is None:
            return None
        return self.high < self.expected


@dataclass(frozen=True, slots=True)
class Case:
    """What is known."""

    cause: Cause
    accepted: bool = False
    """By a person, for each of the devices."""
    lasts: bool = True
    """The alert fires for long enough that it is no passing cloud."""
    labels: Labels = Labels()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why, in a sentence without its full stop."""

    decision: Decision
    reason: str


def decide(case: Case) -> Verdict:
    """The table."""
    cause = case.cause
    if cause == "other":
        return Verdict("ignore", "the alert is not about what the model answers")
    if cause in CAMERA or (cause in ACCEPTABLE and not case.accepted):
        return Verdict("tell", _PERSON[cause])
    if cause in LIGHT:
        if not case.lasts:
            return Verdict("ignore", f"{cause} is accepted, and has to last before it is learned")
        return Verdict("retrain-augmented", f"{cause} was accepted as the new normal: train with pictures made {cause}")
    return _by_labels(case.labels)


def _by_labels(labels: Labels) -> Verdict:
    """For changes that only labels can tell right from wrong."""
    if not labels.enough:
        why = f"; {labels.problem}" if labels.problem else ""
        text = f"{labels.counted} labels of the random stratum are there and {labels.wanted} are needed{why}"
        return Verdict("ask-labels", f"without labels a training learns nothing new: {text}")
    shown = f"labelled accuracy is {labels.low:.0%} to {labels.high:.0%}"
    if labels.lower is None:
        return Verdict("tell", f"{shown}, and the release's manifest does not say what to expect: judge it yourself")
    if not labels.lower:
        why = f"not below the {labels.expected:.0%} of the test: people show other faces, let the baseline learn again"
        return Verdict("ignore", f"{shown}, {why}")
    return Verdict("retrain-labelled", f"{shown}, below the {labels.expected:.0%} of the test: train with new labels")
