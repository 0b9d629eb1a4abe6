"""What a run did, in one line of JSON at its end."""

from dataclasses import dataclass

from edge_agent.telemetry.meter import Meter
from edge_contract.metrics import DeviceCounter


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Latencies are in milliseconds, from frame in memory to predictions handed over."""

    frames: int
    dropped: int
    """Frames replaced by newer ones before they were looked at."""
    predictions: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    latencies: int
    """How many of the latest frames the percentiles are of."""
    errors: int
    reconnects: int
    connects: int
    spool_rows: int
    """Messages that the bridge has not acknowledged; the next run sends them."""
    spool_dropped: int
    seconds: float
    releases: tuple[str, ...]
    """Models that ran, in order: name, release, first 12 digits of the digest."""


def summarize(
    meter: Meter, *, connects: int, spool_rows: int, spool_dropped: int, seconds: float, releases: tuple[str, ...]
) -> RunSummary:
    """The summary of what was counted."""
    counters, whole = meter.read().counters, meter.whole()
    return RunSummary(
        frames=counters[DeviceCounter.FRAMES],
        dropped=counters[DeviceCounter.DROPS],
        predictions=counters[DeviceCounter.PREDICTIONS],
        p50_ms=round(whole.p50, 3),
        p95_ms=round(whole.p95, 3),
        p99_ms=round(whole.p99, 3),
        latencies=whole.n,
        errors=counters[DeviceCounter.ERRORS],
        reconnects=counters[DeviceCounter.RECONNECTS],
        connects=connects,
        spool_rows=spool_rows,
        spool_dropped=spool_dropped,
        seconds=round(seconds, 3),
        releases=releases,
    )
