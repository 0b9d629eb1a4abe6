"""What the device counts: cumulative counters and histograms since the session began, and gauges of the moment.

The device counts and the bridge only carries, so a lost or repeated window bends no rate. Counting happens on the
pipeline's thread, reading on another; a lock keeps a window from being half of two frames.
"""

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_contract.messages import (
    CONFIDENCE_BOUNDS,
    STAGE_BOUNDS,
    STAGES,
    Histogram,
    ModelRef,
    Stage,
    Telemetry,
)

_COUNTERS: Final = ("frames", "drops", "faces", "predictions", "predictions_capped", "errors", "reconnects")
"""Said from the first window on, as zero, so that a rate has a start."""
_MOST_COUNTERS: Final = 48
"""Names at most, below the message's 64: an error's kind is a name, and must not grow without end."""
_RECENT: Final = 10_000
"""Latencies kept for the exact percentiles of the run's summary: five and a half minutes at 30 frames a second."""


class Buckets:
    """A histogram that is being filled."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: upper bounds, inclusive; one more bucket counts what is above the last."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def snapshot(self) -> Histogram:
        """As it stands."""
        return Histogram(counts=tuple(self._counts), sum=self._sum)


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything counted, at one moment."""

    counters: dict[str, int]
    emotions: dict[str, int]
    stages: dict[str, Histogram]
    confidence: Histogram


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Exact, over the latest `n` values, in milliseconds; zeros when there are none."""

    n: int
    p50: float
    p95: float
    p99: float


class Meter:
    """Counts; any thread may count and any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter(dict.fromkeys(_COUNTERS, 0))
        self._emotions: Counter[str] = Counter()
        self._stages = {stage: Buckets(STAGE_BOUNDS) for stage in STAGES}
        self._confidence = Buckets(CONFIDENCE_BOUNDS)
        self._whole: deque[float] = deque(maxlen=_RECENT)

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter; a new name past the limit is counted as `other`."""
        with self._lock:
            if name not in self._counters and len(self._counters) >= _MOST_COUNTERS:
                name = "other"
            self._counters[name] += more

    def stage(self, name: Stage, seconds: float) -> None:
        """A stage took this long."""
        with self._lock:
            self._stages[name].observe(seconds)
            if name == "whole":
                self._whole.append(seconds)

    def frame(self, dropped_before: int) -> None:
        """A frame is worked on, and so many were replaced by newer ones before it."""
        with self._lock:
            self._counters["frames"] += 1
            self._counters["drops"] += dropped_before

    def classified(self, label: str, confidence: float) -> None:
        """One face of one frame got this answer."""
        with self._lock:
            self._emotions[label] += 1
            self._confidence.observe(confidence)

    def read(self) -> Counts:
        """All of it, consistently."""
        with self._lock:
            return Counts(
                dict(self._counters),
                dict(self._emotions),
                {stage: buckets.snapshot() for stage, buckets in self._stages.items()},
                self._confidence.snapshot(),
            )

    def whole(self) -> Percentiles:
        """Latency from frame in memory to its predictions handed over."""
        with self._lock:
            values = sorted(self._whole)
        if not values:
            return Percentiles(0, 0.0, 0.0, 0.0)
        at = [1000 * values[min(len(values) - 1, int(len(values) * share))] for share in (0.5, 0.95, 0.99)]
        return Percentiles(len(values), *at)


class Windows:
    """Cuts the counts into telemetry messages."""

    def __init__(self, meter: Meter, *, device: str, site: str, session: int, now: float) -> None:
        """`now`: seconds since 1970, the start of the first window."""
        self._meter = meter
        self._device, self._site, self._session = device, site, session
        self._start, self._frames = now, 0

    def cut(
        self, now: float, model: ModelRef | None, extra: Mapping[str, int], gauges: Mapping[str, float]
    ) -> Telemetry:
        """The window from the last cut to `now`. `extra`: counters that others keep; `fps` is added to the gauges."""
        counts = self._meter.read()
        seconds = max(now - self._start, 0.0)
        fps = (counts.counters["frames"] - self._frames) / seconds if seconds > 0 else 0.0
        message = Telemetry(
            device=self._device,
            site=self._site,
            session=self._session,
            sequence=0,  # the spool's to give
            oldest=(0, 0),
            start=self._start,
            end=max(now, self._start),
            model=model,
            counters={**counts.counters, **extra},
            emotions=counts.emotions,
            stages=counts.stages,
            confidence=counts.confidence,
            gauges={"fps": fps, **gauges},
        )
        self._start, self._frames = message.end, counts.counters["frames"]
        return message
