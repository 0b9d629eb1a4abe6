"""How a group of devices stands with its release: what `edgewise fleet serve` tells those who watch.

Retained, unsigned, and for people: no device reads it and nothing is decided by it. What is decided is signed
(`trust.DesiredState`).
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from edge_contract.messages import Count, Id, Label, Message, ModelRef, Seconds, Share, Text
from edge_contract.wave import Mode

SHOWN: Final = 128
"""The most devices that are named with a sentence of their own."""

Weight = Annotated[float, Meta(ge=0, le=2**53)]
"""A count of looks in which no device weighs more than others."""


class StageStatus(Struct, frozen=True, kw_only=True):
    """The shadow or one wave."""

    number: Count
    """0 is the shadow; waves count from 1."""
    mode: Mode
    share: Share
    devices: Count
    """Of the group as it is now."""
    began: Seconds | None = None


class FindingStatus(Struct, frozen=True, kw_only=True):
    """What one gate says of the stage that runs."""

    gate: Annotated[str, Meta(max_length=32)]
    outcome: Literal["pass", "inconclusive", "fail"]
    text: Text


class ShadowStatus(Struct, frozen=True, kw_only=True):
    """What the devices compared so far, together."""

    looks: Weight = 0.0
    agreed: Weight = 0.0
    failures: Weight = 0.0
    less_sure: Weight = 0.0
    more_sure: Weight = 0.0
    slower: Weight = 0.0
    confusion: Annotated[dict[Label, Annotated[dict[Label, Weight], Meta(max_length=64)]], Meta(max_length=64)] = {}
    """By the label of the release that answers, then that of the release on trial."""


class Behind(Struct, frozen=True, kw_only=True):
    """A device that does not run what it should, and why."""

    device: Id
    kind: Literal["offline", "under way", "failed", "silent", "waits"]
    why: Text


class RolloutStatus(Struct, frozen=True, kw_only=True):
    """The rollout that runs in the group, or ran last."""

    id: Id
    release: ModelRef
    rest: ModelRef
    """What the devices run that the rollout has not reached."""
    phase: Literal["waiting", "shadow", "wave", "completed", "halted", "aborted", "superseded"]
    position: Count
    """Place in `stages` of the one that runs or, while `waiting`, begins next."""
    stages: Annotated[tuple[StageStatus, ...], Meta(max_length=64)]
    outcome: Literal["pass", "inconclusive", "fail"] | None = None
    findings: Annotated[tuple[FindingStatus, ...], Meta(max_length=64)] = ()
    shadow: ShadowStatus = ShadowStatus()
    paused: Text = ""
    """Why it is paused and by whom; empty while it is not."""
    reason: Text = ""
    """Why it ended."""
    waits_for: Text = ""
    running: Count = 0
    """Devices of the stage that run the release."""
    failed: Count = 0
    silent: Count = 0
    """Of those that failed, devices that were not heard of since they activated it."""
    offline: Count = 0
    started: Seconds
    ended: Seconds = 0.0


class GroupStatus(Message, frozen=True, kw_only=True):
    """One group, at one time."""

    group: Id
    desired: ModelRef | None
    """What devices outside of any wave are to run."""
    rollout: RolloutStatus | None = None
    behind: Annotated[tuple[Behind, ...], Meta(max_length=SHOWN)] = ()
    """Of the devices that do not run what they should, those that failed first."""
    time: Seconds
