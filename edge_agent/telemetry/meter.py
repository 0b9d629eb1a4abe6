"""What the device counts: cumulative counters and histograms since the session began.

The device counts and the bridge only carries, so a lost or repeated window bends no rate. Counting happens on the
pipeline's thread, reading on another; a lock keeps a reading from being half of two frames.
"""

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, STAGES, Histogram, Stage
from edge_contract.metrics import DeviceCounter

_FROM_ZERO: Final = (
    DeviceCounter.FRAMES,
    DeviceCounter.DROPS,
    DeviceCounter.FACES,
    DeviceCounter.PREDICTIONS,
    DeviceCounter.PREDICTIONS_CAPPED,
    DeviceCounter.ERRORS,
    DeviceCounter.RECONNECTS,
)
"""Sent from the first window on, as zero, so that a rate has a start."""
_RECENT: Final = 10_000
"""Latencies kept for the exact percentiles of the run's summary: five and a half minutes at 30 frames a second."""


class Buckets:
    """A histogram while it is filled."""

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
        """The counts so far, as a message carries them."""
        return Histogram(counts=tuple(self._counts), sum=self._sum)


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything counted, at one moment."""

    counters: dict[DeviceCounter, int]
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
    """Counts, from any thread; any thread may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[DeviceCounter] = Counter(dict.fromkeys(_FROM_ZERO, 0))
        self._emotions: Counter[str] = Counter()
        self._stages = {stage: Buckets(STAGE_BOUNDS) for stage in STAGES}
        self._confidence = Buckets(CONFIDENCE_BOUNDS)
        self._whole: deque[float] = deque(maxlen=_RECENT)

    def count(self, counter: DeviceCounter, more: int = 1) -> None:
        """Add `more` to a counter."""
        with self._lock:
            self._counters[counter] += more

    def stage(self, name: Stage, seconds: float) -> None:
        """A stage took so many seconds; those of `whole` are also kept for `whole`."""
        with self._lock:
            self._stages[name].observe(seconds)
            if name == "whole":
                self._whole.append(seconds)

    def frame(self, dropped_before: int) -> None:
        """A frame is worked on, and so many were replaced by newer ones before it."""
        with self._lock:
            self._counters[DeviceCounter.FRAMES] += 1
            self._counters[DeviceCounter.DROPS] += dropped_before

    def classified(self, label: str, confidence: float) -> None:
        """One face of one frame got this answer."""
        with self._lock:
            self._emotions[label] += 1
            self._confidence.observe(confidence)

    def read(self) -> Counts:
        """Everything, of one moment."""
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
