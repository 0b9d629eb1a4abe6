"""`[telemetry]` and `[spool]`: how often the device reports, and what it keeps until the bridge has stored it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """`[spool]`: what is kept while the broker or the bridge is away."""

    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 34)] = 64 << 20
    """Of messages on disk; past it the oldest telemetry is deleted first, and counted."""
    max_age_s: Annotated[float, Meta(ge=60, le=1e12)] = 7 * 86400.0
    """Of time that an agent ran; what an earlier run stored counts from the start."""
    window: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Messages sent and not yet acknowledged by the bridge."""
    resend_s: Annotated[float, Meta(ge=0.1, le=3600)] = 20.0
    """Without an acknowledgement for so long, the window is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """`[telemetry]`: how often messages are sent."""

    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """Length of a telemetry window."""
    predictions_per_minute: Annotated[int, Meta(ge=1, le=6000)] = 120
    """More are counted as `predictions_capped` and not sent."""
