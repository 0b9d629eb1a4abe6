"""A small fleet that says what a real one says, for the pages' tests and pictures: each device in a state."""

import random
import time
from collections.abc import Mapping, Sequence

from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, STAGES, Histogram, ModelRef, TrackCounts
from tests.bridge.publisher import LABELS, MODEL, Publisher, histogram, prediction, reported, telemetry

CANARY = ModelRef(name="emotion", release=3, digest="cd" * 32)
_PICTURE = {
    "brightness": 0.46, "contrast": 0.21, "sharpness": 0.34, "faceless": 0.38, "frozen_seconds": 0.0,
    "face_brightness": 0.52, "face_contrast": 0.18, "face_sharpness": 0.29, "face_pixels": 96.0,
    "face_roll_degrees": 2.0,
    "rss_bytes": 6.1e7, "cpu_share": 0.21, "spool_rows": 1.0, "ack_lag_seconds": 0.4,
}  # fmt: skip
_SHARES = (0.06, 0.01, 0.05, 0.45, 0.12, 0.09, 0.22)


class SmallFleet:
    """`speak` makes every device send a window of five seconds and a prediction."""

    def __init__(
        self, port: int, names: Sequence[str], seed: int = 1, odd: Mapping[str, Mapping[str, float]] | None = None
    ) -> None:
        """`odd`: gauges of single devices that are not as those of the others."""
        self._odd = odd or {}
        self._random = random.Random(seed)  # noqa: S311  # a picture, not a secret
        session = int(time.time())
        self.devices = [Publisher(port, name, session) for name in names]
        self._latency = {each.device: [0] * (len(STAGE_BOUNDS) + 1) for each in self.devices}
        self._emotions = {each.device: dict.fromkeys(LABELS, 0) for each in self.devices}
        self._tracks = {
            each.device: {label: [0] * (len(CONFIDENCE_BOUNDS) + 1) for label in LABELS} for each in self.devices
        }
        self._round = 0

    def say_hello(self) -> None:
        """All connect; the third downloads a release and the fourth rejected it."""
        for each in self.devices:
            each.say_hello()
        if len(self.devices) > 3:
            third, fourth = self.devices[2], self.devices[3]
            third.send(
                reported(third.device, third.session, state="downloading", progress=0.43, target=CANARY),
                "reported",
                retain=True,
            )
            reason = "its self-test took 131 ms at the 95th percentile, budget 100 ms"
            fourth.send(
                reported(fourth.device, fourth.session, state="rejected", reason=reason, target=CANARY),
                "reported",
                retain=True,
            )

    def speak(self) -> None:
        """One round of every device that is still here."""
        self._round += 1
        for number, each in enumerate(self.devices):
            frames = 75 * self._round
            counts, emotions = self._latency[each.device], self._emotions[each.device]
            for bucket in self._random.choices((4, 5, 6, 7, 8, 9), (1, 5, 20, 9, 3, 1), k=75):
                counts[bucket] += 1
            for label in self._random.choices(LABELS, _SHARES, k=75):
                emotions[label] += 1
            stages = {stage: histogram(len(STAGE_BOUNDS), 6, frames) for stage in STAGES}
            stages["whole"] = Histogram(counts=tuple(counts), sum=0.004 * frames)
            key, oldest = (each.session, 2 * self._round - 1), (each.session, 1)
            tracks = self._tracks[each.device]
            for label in self._random.choices(LABELS, _SHARES, k=4):
                tracks[label][self._random.choices((5, 6, 7, 8, 9), (1, 2, 3, 4, 6))[0]] += 1
            gauges = {"fps": 14.5 + number + self._random.random(), "temperature_celsius": 50.0 + number, **_PICTURE}
            each.send(
                telemetry(
                    each.device,
                    key,
                    frames,
                    oldest=oldest,
                    end=time.time(),
                    emotions=dict(emotions),
                    stages=stages,
                    gauges=gauges | self._odd.get(each.device, {}),
                    tracks=_counted(tracks),
                ),
                "telemetry",
            )
            each.send(
                prediction(
                    each.device,
                    (each.session, 2 * self._round),
                    oldest=oldest,
                    label=self._random.choices(LABELS, _SHARES)[0],
                    confidence=self._random.uniform(0.5, 0.99),
                    latency=self._random.uniform(0.003, 0.006),
                ),
                "prediction",
            )

    def close(self) -> None:
        """All disconnect."""
        for each in self.devices:
            each.close()


def _counted(tracks: Mapping[str, Sequence[int]]) -> TrackCounts:
    """Confidence of each face by label."""
    answers = {
        label: Histogram(
            counts=tuple(counts), sum=sum(count * (bucket + 0.5) / 10 for bucket, count in enumerate(counts))
        )
        for label, counts in tracks.items()
        if any(counts)
    }
    return TrackCounts(model=MODEL, answers=answers, sure=sum(sum(counts[8:]) for counts in tracks.values()))
