"""What happens to a loop, and what its ledger says of it. Each event but the first few names the run that it is of."""

from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from edge_contract.loop_status import Phase
from edge_contract.messages import ModelRef
from edge_fleet.loop.alerts import Alert
from edge_fleet.loop.decide import Labels

AUTOMATIC: Final = "loop"
"""Who acts where no person does."""


class Terms(Struct, frozen=True, kw_only=True):
    """What the settings allow."""

    trainings_per_week: int = 2
    cooldown: float = 86400.0
    """Seconds."""
    lasting: float = 86400.0
    """Seconds."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """These alerts fire now, and this is what labels say, by NAME-RELEASE."""

    alerts: tuple[Alert, ...]
    labels: dict[str, Labels]
    terms: Terms
    now: float


@dataclass(frozen=True, slots=True)
class Attempted:
    """The training is about to be begun, or begun again after it was lost."""

    run: str
    now: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The pipeline made a package and says that its gate passed it."""

    run: str
    package: str
    """Its file."""
    release: ModelRef
    measured: dict[str, float]
    now: float


@dataclass(frozen=True, slots=True)
class Checked:
    """The package is the one that was named, and the gate's result in it is a pass."""

    run: str
    now: float


@dataclass(frozen=True, slots=True)
class GateRefused:
    """The gate refused the model. Nothing of the loop asks again."""

    run: str
    reasons: tuple[str, ...]
    now: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A step could not be done."""

    run: str
    why: str
    now: float
    ended: bool = False
    """Of a training: it is known to have ended; else something of it may still run."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The package is released, and the challenger where there is a registry."""

    run: str
    text: str
    now: float


@dataclass(frozen=True, slots=True)
class RolloutStarted:
    """A rollout of the release is there."""

    run: str
    rollout: str
    now: float


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """How the rollout stands."""

    run: str
    standing: Literal["runs", "waits", "completed", "halted", "ended"]
    """`waits`: for a person's approval. `ended`: a person aborted it, or something newer took its group."""
    text: str
    now: float


@dataclass(frozen=True, slots=True)
class Promoted:
    """The release is the champion, or there is no registry that has one."""

    run: str
    text: str
    now: float


@dataclass(frozen=True, slots=True)
class Paused:
    """A person lets nothing begin."""

    by: str
    why: str
    now: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person lets it go on."""

    by: str
    now: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person ends the run that is under way."""

    by: str
    why: str
    now: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """A person says that a cause on a device is the new normal, or (`taken_back`) that it is not."""

    device: str
    cause: str
    by: str
    now: float
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing of a stopped run is under way any more."""

    run: str
    text: str
    now: float


OfRun = (
    Attempted | Trained | Checked | GateRefused | Failed | Registered | RolloutStarted | RolloutSeen | Promoted
)  # fmt: skip
Event = Looked | OfRun | Paused | Resumed | Stopped | Accepted | Cleared


class Entry(Struct, frozen=True):
    """A line of the ledger."""

    action: Phase | Literal["pause", "resume", "accept", "take-back", "attempt", "cleared", "waits"]
    text: str
    by: str = AUTOMATIC
    run: str = ""
    """Empty for what is of no run."""
