"""Drift: what is an alarm, and what it is learned from."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """`[drift]`: what is an alarm, and what a device's own baseline is learned from; docs/drift.md."""

    false_alarms_per_month: Annotated[float, Meta(gt=0, le=10)] = 0.05
    """At most so many of a device that did not change, by design; fewer make an alarm come later."""
    commission_tracks: Annotated[int, Meta(ge=100, le=100_000)] = 500
    """Faces that the baseline of a device is learned from, each counted once; of fewer than 100 nothing is judged."""
    commission_hours: Annotated[float, Meta(ge=0, le=8760)] = 24.0
    """And for how long at the least, so that it knows each hour of a day."""
    every_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    """Seconds between two windows of a device that are looked at: fewer let an alarm come sooner, and cost more."""
    least_effect: Annotated[float, Meta(ge=0.02, le=0.9)] = 0.1
    """A change of a share by less than this is no alarm, however certain it is."""
