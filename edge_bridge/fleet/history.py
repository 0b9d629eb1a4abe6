"""The last quarter of an hour of the fleet, sampled for the dashboard's charts and kept in memory.

`History` is given the time and the fleet and returns finished series; no clock and no drawing here.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.state import FleetState
from edge_contract.metrics import DeviceGauge

EVERY_S: Final = 5.0
"""Between two samples; devices send a window about as often."""
SAMPLES: Final = 180
"""A quarter of an hour."""
NAMED: Final = 6
"""Devices with a line of their own; more would be a tangle."""
LATENCY_S: Final = 30.0
"""A percentile is over the frames of this long, so that a device with long windows leaves no gaps."""
MIX_S: Final = 300.0
"""The emotion mix is over the faces of this long."""


class Sample(NamedTuple):
    """The fleet at one moment; counts are cumulative."""

    time: float
    fps: dict[str, float]
    """By device that is up, while these are few; of a large fleet that would be megabytes that no chart draws."""
    total: float | None
    """Of all devices that are up; None when none says."""
    whole: tuple[int, ...]
    """Frames by latency bucket, stage `whole`."""
    emotions: dict[str, int]


class LatencyPoint(NamedTuple):
    """Percentiles of the frames of the last `LATENCY_S`, seconds; None where no frame came."""

    time: float
    p50: float | None
    p95: float | None


class History:
    """See the module; one thread samples, others read."""

    def __init__(self, silent_after: float) -> None:
        self._silent_after = silent_after
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def sample(self, fleet: FleetState, now: float) -> None:
        """Take a sample if it is time for one."""
        if self._samples and 0 <= now - self._samples[-1].time < EVERY_S:
            return
        with fleet.lock:
            devices, sums = list(fleet.devices.values()), list(fleet.sums.values())
        whole: tuple[int, ...] = ()
        for total in sums:
            if (histogram := total.stages.get("whole")) is not None:
                whole = tuple(map(int.__add__, whole, histogram.counts)) if whole else histogram.counts
        emotions: dict[str, int] = {}
        for device in devices:
            for counts in device.emotions.values():
                for label, count in counts.items():
                    emotions[label] = emotions.get(label, 0) + count
        fps = {
            each.id: each.gauges[DeviceGauge.FPS]
            for each in devices
            if DeviceGauge.FPS in each.gauges and record.up(each, now, self._silent_after)
        }
        frames = sum(fps.values()) if fps else None
        self._samples.append(Sample(now, fps if len(fps) <= NAMED else {}, frames, whole, emotions))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Oldest first."""
        return tuple(self._samples.copy())

    def latency(self) -> list[LatencyPoint]:
        """Percentiles over time, oldest first."""
        samples, points, first = self.samples, [], 0
        for last, sample in enumerate(samples):
            while samples[first].time < sample.time - LATENCY_S and first < last:
                first += 1
            counts = _gain(samples[first].whole, sample.whole)
            points.append(LatencyPoint(sample.time, quantile(counts, 0.5), quantile(counts, 0.95)))
        return points

    def mix(self) -> dict[str, int]:
        """Faces by emotion over the last `MIX_S`; the most frequent first."""
        samples = self.samples
        if not samples:
            return {}
        first = next(each for each in samples if each.time >= samples[-1].time - MIX_S)
        gains = _label_gain(first.emotions, samples[-1].emotions)
        return dict(sorted(gains.items(), key=lambda item: (-item[1], item[0])))


def _gain(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    if len(before) != len(now):
        return now
    return tuple(max(0, each) for each in map(int.__sub__, now, before))


def _label_gain(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    gains = {label: count - before.get(label, 0) for label, count in now.items()}
    return {label: gain for label, gain in gains.items() if gain > 0}
