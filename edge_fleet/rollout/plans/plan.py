"""The plan of a rollout: its waves, and what each gate asks for. What a type cannot say, `plan_file` checks."""

from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta, Struct

from edge_contract.messages import Share
from edge_contract.wave import CANARIES, ShadowTerms

Positive = Annotated[int, Meta(ge=1, le=2**31)]
Named = Annotated[int, Meta(ge=0, le=CANARIES)]
Duration = Annotated[float, Meta(ge=0, le=30 * 86400)]
"""Seconds."""
Risk = Annotated[float, Meta(ge=1e-6, le=0.2)]


class WaveSize(Struct, frozen=True, kw_only=True):
    """How many devices a wave has in all, those of earlier waves counted: `devices`, or a `share` of the group."""

    devices: Named = 0
    share: Share = 0.0

    def __str__(self) -> str:
        """As a plan writes it: `5` or `10%`; no digit is lost."""
        return str(self.devices) if self.devices else f"{(Decimal(repr(self.share)) * 100).normalize():f}%"


class ShadowGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both models on the same faces, before anyone sees an answer of the new one."""

    faces: Positive = 200
    """Looks compared, over all devices, before it can pass."""
    share: Share = 0.1
    """Of the group's devices that run both, beside one of each kind."""
    terms: ShadowTerms = ShadowTerms()
    agreement: Share = 0.85
    """At least so often both name the same label."""
    shift: Share = 0.1
    """No label's share of the answers may change by more."""
    less_sure: Share = 0.1
    """At most so much more often less sure than more sure."""
    swapped: Share = 0.08
    """Of the looks that either of two labels got, at most so many may get the other one of the two."""
    contradicted: Share = 0.02
    """Of the looks of which the old release is sure, and of those of each label, at most so many may get another one.
    Between releases that are merely different it was 0 to 0.3 %, whatever they agree on."""
    slower: Share = 0.1
    """At most so often slower by the terms' factor, on no kind of device more."""
    failures: Share = 0.01
    """At most so often without an answer."""
    timeout: Duration = 24 * 3600.0
    """After which an inconclusive shadow pauses the rollout for a person."""


class InstalledGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The release is active on the wave's devices."""

    failed: Share = 0.1
    """At most so many of the devices with a verdict may have failed."""
    minimum: Positive = 3
    """Below so many devices with a verdict no share is believed; a smaller wave wants all of its devices."""
    timeout: Duration = 3600.0
    """A device that is online and has not finished in so many seconds has failed: timed out."""


class HealthyGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """It stays up."""

    soak: Duration = 1800.0
    """Counted from each device's own commit."""
    silent: Duration = 600.0
    """A device that took the release and was not heard of for so long since has failed: silent since activation."""


class BehavesGate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the wave's devices answer changed no more than on the devices that kept the old release."""

    windows: Positive = 10
    """Stretches of two minutes with faces, on the wave's devices together, before it can pass."""
    devices: Positive = 10
    """A wave of fewer says too little of the mix of answers and of confidence: those can fail it, not hold it."""
    errors: Share = 0.01
    """At most so many looks more end without an answer."""
    confidence: Share = 0.1
    """The mean confidence may fall by no more."""
    mix: Share = 0.15
    """No label's share of the answers may change by more."""
    latency: Annotated[float, Meta(ge=1, le=100)] = 1.5
    """The mean time of an inference may grow to no more than so many times what it was."""


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a release is rolled out. `plan_file.parse_plan` reads one."""

    waves: tuple[WaveSize, ...] = (
        WaveSize(devices=1), WaveSize(share=0.01), WaveSize(share=0.1), WaveSize(share=0.5), WaveSize(share=1.0)
    )  # fmt: skip
    approve: tuple[int, ...] = ()
    """Waves, counted from 1, that begin only after a person approved; 0 is the shadow."""
    windows: tuple[str, ...] = ()
    """`HH:MM-HH:MM` in UTC: a wave begins only within one of them; none means always."""
    risk: Risk = 0.01
    """At most so likely chance alone halts a release within all limits, or a gate passes one that is beyond its."""
    shadow: ShadowGate | None = ShadowGate()
    installed: InstalledGate = InstalledGate()
    healthy: HealthyGate = HealthyGate()
    behaves: BehavesGate | None = BehavesGate()


DEFAULT: Final = Plan()
