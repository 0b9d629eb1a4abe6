"""What can happen in a rollout, and what the ledger says of it: the vocabulary of `machine`.

`now` is seconds since 1970; `by` a person, or `AUTOMATIC`.
"""

from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from edge_contract.messages import ModelRef
from edge_contract.wave import Wave
from edge_fleet.rollout.gates.verdict import Verdict

AUTOMATIC: Final = "edgewise"
"""Who acts, in the ledger, where no person does."""


class Assignment(Struct, frozen=True, kw_only=True):
    """What a group's desired state says, without its revision and its life."""

    model: ModelRef
    wave: Wave | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The gates were asked, or it was only looked whether the next stage may begin (`verdict` None)."""

    position: int
    """Of the stage that the verdict is of."""
    verdict: Verdict | None
    now: float
    before: Verdict | None = None
    """Whether enough is known of the time before the rollout; asked until it is."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A person lets the stage with this number in the plan begin."""

    number: int
    by: str
    now: float


@dataclass(frozen=True, slots=True)
class Paused:
    """A person stops what advances."""

    by: str
    why: str
    now: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person lets it go on."""

    by: str
    now: float


@dataclass(frozen=True, slots=True)
class Aborted:
    """A person ends it. `keep`: who runs the release keeps it; `revert`: everyone runs again what the group ran."""

    outcome: Literal["keep", "revert"]
    by: str
    now: float


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer rollout or a push takes the group over: this one issues nothing more."""

    why: str
    by: str
    now: float


@dataclass(frozen=True, slots=True)
class ReleaseWithdrawn:
    """The release is listed no more."""

    now: float


@dataclass(frozen=True, slots=True)
class Issued:
    """The group's desired state says this by now."""

    assignment: Assignment
    revision: int


@dataclass(frozen=True, slots=True)
class Returned:
    """No device that is known runs the release any more."""

    now: float


Event = Judged | Approved | Paused | Resumed | Aborted | Superseded | ReleaseWithdrawn | Issued | Returned


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger."""

    action: str
    text: str
    by: str = AUTOMATIC
