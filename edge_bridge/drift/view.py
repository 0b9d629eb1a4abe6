"""What others see of drift: alarms, and how one device stands."""

from typing import Final, Literal

from msgspec import Struct

from edge_contract.messages import ModelRef

ReferenceKind = Literal["manifest", "baseline", "peers"]
"""What a device is compared with: how its model answered test pictures, itself while it was learned, or its group."""
REFERENCES: Final[tuple[ReferenceKind, ...]] = ("manifest", "baseline", "peers")

Cause = Literal["dark", "bright", "blurred", "far", "turned", "covered", "answers", "fleet", "unknown"]
"""`answers`: people show other faces, pictures are as they were. `fleet`: many devices of one model at once.
`unknown`: the pictures' quality is not known, or does not say why."""

Method = Literal["thresholded", "calibrated"]
"""How accuracy is estimated without labels: the share of tracks above the manifest's threshold (arXiv 2201.04234), or
the mean of how often answers of that label and confidence were right on the test pictures."""


class Alarm(Struct, frozen=True, kw_only=True):
    """A device that answers otherwise than a reference, while that holds."""

    device: str
    site: str
    model: ModelRef
    reference: ReferenceKind
    cause: Cause
    since: float
    """When the evidence was enough, by the device's clock, seconds since 1970."""
    evidence: float
    """log10 of the e-value."""
    effect: float
    """By how much the share of tracks changed that changed most, 0 to 1."""
    sentence: str
    """What changed, by how much, and the probable cause: for people."""


class Estimate(Struct, frozen=True, kw_only=True):
    """Accuracy without labels, with its 95 % interval: of the sampling alone, see docs/drift.md for the rest."""

    method: Method
    value: float
    low: float
    high: float
    tracks: float
    """Tracks it stands on, older ones counting less."""


class DeviceDrift(Struct, frozen=True, kw_only=True):
    """How one device stands."""

    device: str
    site: str
    model: ModelRef
    learned: int
    """Tracks of the baseline so far."""
    wanted: int
    """Tracks that the baseline needs, over at least `hours`."""
    hours: float
    since: float
    """When learning began, by the device's clock, seconds since 1970."""
    frozen: float
    """When the baseline was complete; 0 while it is learned."""
    mix: dict[str, float]
    """The baseline's answers as shares by label; empty before the first track."""
    recent: dict[str, float]
    """The same of lately."""
    evidence: dict[ReferenceKind, float]
    """log10 of the e-value by reference; one that is not there yet is left out."""
    effect: dict[ReferenceKind, float]
    comparable: bool
    """The release's card brings enough test pictures to compare the answers with theirs."""
    estimates: tuple[Estimate, ...]
    """Empty where the release's card brings no reference."""
    alarms: tuple[Alarm, ...]
