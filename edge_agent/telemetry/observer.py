"""Counts what the pipeline does, and turns consensus changes into prediction messages. Runs on the pipeline's thread.

Nothing here can fail on the outside world: counting is memory, sending is a bounded queue.
"""

import logging
from collections.abc import Callable
from typing import Final

from edge_agent.inference.events import PredictionEvent
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.token_bucket import TokenBucket
from edge_contract.messages import PredictionBody, Stage
from edge_contract.metrics import ERRORS, DeviceCounter, ErrorKind

_log = logging.getLogger(__name__)
_ERROR_LOG_S: Final = 10.0
"""One line for each kind of error at most this often: a camera that fails on every frame must not fill a disk."""


class MetricsObserver:
    """A `PipelineObserver`."""

    def __init__(
        self,
        meter: Meter,
        send: Callable[[PredictionBody], None],
        *,
        device: str,
        site: str,
        per_minute: float,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """`clock`: the pipeline's; `now`: seconds since 1970."""
        self._meter, self._send = meter, send
        self._device, self._site = device, site
        self._clock, self._now = clock, now
        self._bucket = TokenBucket.full(per_minute, clock())
        self._said: dict[str, tuple[float, int]] = {}  # kind of error → when it was logged, and how often since

    def set_rate(self, per_minute: float) -> None:
        """Change the cap on predictions while running."""
        self._bucket = TokenBucket.full(per_minute, self._clock())

    def stage(self, name: Stage, seconds: float) -> None:
        """Count it."""
        self._meter.stage(name, seconds)

    def frame(self, dropped_before: int) -> None:
        """Count it."""
        self._meter.frame(dropped_before)

    def faces(self, count: int) -> None:
        """Count them."""
        self._meter.count(DeviceCounter.FACES, count)

    def classified(self, label: str, confidence: float) -> None:
        """Count it."""
        self._meter.classified(label, confidence)

    def prediction(self, event: PredictionEvent) -> None:
        """Publish it, unless the cap is reached."""
        self._bucket, granted = self._bucket.take(self._clock())
        if not granted:
            self._meter.count(DeviceCounter.PREDICTIONS_CAPPED)
            return
        self._meter.count(DeviceCounter.PREDICTIONS)
        self._send(
            PredictionBody(
                device=self._device,
                site=self._site,
                time=self._now(),
                track=event.track,
                label=event.label,
                confidence=event.confidence,
                probabilities=event.probabilities,
                box=event.box,
                model=event.model,
                latency=max(0.0, self._clock() - event.captured),
            )
        )

    def error(self, kind: ErrorKind, detail: str) -> None:
        """Count it, and log it now and then."""
        self._meter.count(DeviceCounter.ERRORS)
        self._meter.count(ERRORS[kind])
        when, since = self._said.get(kind, (-_ERROR_LOG_S, 0))
        now = self._clock()
        if now - when < _ERROR_LOG_S:
            self._said[kind] = (when, since + 1)
            return
        self._said[kind] = (now, 0)
        _log.warning("%s: %s%s", kind, detail, f" (and {since} more since the last line)" if since else "")

    def reconnect(self) -> None:
        """Count it."""
        self._meter.count(DeviceCounter.RECONNECTS)
