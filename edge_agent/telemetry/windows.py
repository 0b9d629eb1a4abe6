"""Windows of telemetry: what the meter holds, cut at regular times, with the gauges of that moment."""

from collections.abc import Mapping

from edge_agent.telemetry.meter import Meter
from edge_contract.messages import ModelRef, ShadowCounts, TelemetryBody, TrackCounts
from edge_contract.metrics import DeviceCounter, DeviceGauge


class Windows:
    """Cuts the counts of one session into messages."""

    def __init__(self, meter: Meter, *, device: str, site: str, now: float) -> None:
        """`now`: seconds since 1970, the start of the first window."""
        self._meter = meter
        self._device, self._site = device, site
        self._start, self._frames = now, 0

    def cut(
        self,
        now: float,
        model: ModelRef | None,
        extra: Mapping[DeviceCounter, int],
        gauges: Mapping[DeviceGauge, float],
        shadow: ShadowCounts | None = None,
        tracks: TrackCounts | None = None,
    ) -> TelemetryBody:
        """The window from the last cut to `now`. `extra`: counters kept elsewhere; `fps` is added to the gauges.

        `shadow`: of a model in shadow, where there is one. `tracks`: once one was counted.
        """
        counts = self._meter.read()
        frames = counts.counters[DeviceCounter.FRAMES]
        seconds = max(now - self._start, 0.0)
        fps = (frames - self._frames) / seconds if seconds > 0 else 0.0
        body = TelemetryBody(
            device=self._device,
            site=self._site,
            start=self._start,
            end=max(now, self._start),
            model=model,
            counters=dict([*counts.counters.items(), *extra.items()]),
            emotions=counts.emotions,
            stages=counts.stages,
            confidence=counts.confidence,
            gauges=dict([(DeviceGauge.FPS, fps), *gauges.items()]),
            shadow=shadow,
            tracks=tracks,
        )
        self._start, self._frames = body.end, frames
        return body
