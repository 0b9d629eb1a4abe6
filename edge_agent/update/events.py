"""What can happen in an update, and what an update is about: the vocabulary of `machine`."""

from dataclasses import dataclass

from msgspec import Struct

from edge_agent.models.slots import Slot
from edge_contract.messages import Count, ModelRef
from edge_contract.wave import Mode, ShadowTerms


class Target(Struct, frozen=True):
    """What a verified desired state asks for."""

    model: ModelRef
    scope: str
    revision: int
    retry: Count = 0
    """A failure here under a lower revision than this one is forgiven once."""
    mode: Mode = "active"
    shadow: ShadowTerms | None = None
    """How it is compared, in shadow."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A verified desired state names another target than before."""

    target: Target


@dataclass(frozen=True, slots=True)
class Admitted:
    """The target is listed, fits this device, and has not failed here before."""


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """The target is the very model that runs."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Every chunk is on disk and has its digest."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """What was downloaded was damaged on this disk."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The whole file has the release's digest and lies in a slot of its own."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The release is still listed."""


@dataclass(frozen=True, slots=True)
class SelfTestPassed:
    """The model answered as it must on this board, within its budget."""


@dataclass(frozen=True, slots=True)
class Activated:
    """The pipeline took the model."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The model answered enough faces since the agent started: on trial it is taken, in shadow it crashes nothing."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The target cannot be run. `blame`: the model itself failed on this device, and is not tried here again.

    `passing`: this device's disk is in the way, which may pass by itself.
    """

    reason: str
    blame: bool
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent started."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The agent was told to end."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """The committed slot cannot be loaded any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reconsidered:
    """New metadata: what was rejected for what the list said may be accepted now."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What was in the target's way may have passed."""


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """A signed command asks for the model before this one."""

    reason: str


Event = (
    Wanted
    | Admitted
    | AlreadyRunning
    | Fetched
    | Spoiled
    | Staged
    | Confirmed
    | SelfTestPassed
    | Activated
    | Proven
    | Refused
    | Booted
    | Stopped
    | Damaged
    | Reconsidered
    | Retried
    | RollbackAsked
)
