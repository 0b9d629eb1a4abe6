"""The last quarter of an hour of single devices, sampled for their pages and kept in memory: 6 kB each.

A small fleet is kept whole; of a large one, those devices whose page was opened. Given the time and records; no clock.
"""

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.history import EVERY_S, SAMPLES
from edge_bridge.fleet.record import Device
from edge_contract.metrics import DeviceGauge

KEPT: Final = 1000
"""Devices that are kept without anyone having opened their page; and as many pages are remembered."""


class Point(NamedTuple):
    """One device at one moment; None where it said nothing."""

    time: float
    fps: float | None
    p95: float | None
    """Seconds, frame to answer, of the newest window."""
    temperature: float | None


_FIELDS: Final = len(Point._fields)


class DeviceHistory:
    """See the module; one thread samples, others read and watch."""

    def __init__(self, silent_after: float) -> None:
        self._silent_after = silent_after
        self._samples: dict[str, array[float]] = {}
        self._watched: dict[str, None] = {}
        self._sampled = 0.0

    def watch(self, device: str) -> None:
        """Its page is open: keep it from now on."""
        if device not in self._watched:
            self._watched = dict(list(self._watched.items())[-KEPT + 1 :]) | {device: None}

    def sample(self, devices: Mapping[str, Device], now: float) -> None:
        """Take a sample if it is time for one."""
        if 0 <= now - self._sampled < EVERY_S:
            return
        self._sampled = now
        names: Iterable[str] = devices if len(devices) <= KEPT else [name for name in self._watched if name in devices]
        samples: dict[str, array[float]] = {}
        for name in names:
            kept = self._samples.get(name) or array("d")
            kept.extend(_point(devices[name], now, self._silent_after))
            samples[name] = kept[-_FIELDS * SAMPLES :] if len(kept) > _FIELDS * SAMPLES else kept
        self._samples = samples

    def of(self, device: str) -> list[Point]:
        """Oldest first."""
        kept = self._samples.get(device) or array("d")
        values = [None if math.isnan(each) else each for each in kept]
        return [Point(*values[at : at + _FIELDS]) for at in range(0, len(values) - _FIELDS + 1, _FIELDS)]  # type: ignore[arg-type]  # a time is always there


def _point(device: Device, now: float, silent_after: float) -> tuple[float, ...]:
    if not record.up(device, now, silent_after):
        return (now, math.nan, math.nan, math.nan)
    p95 = quantile(device.latency, 0.95)
    return (
        now,
        device.gauges.get(DeviceGauge.FPS, math.nan),
        math.nan if p95 is None else p95,
        device.gauges.get(DeviceGauge.TEMPERATURE_CELSIUS, math.nan),
    )
