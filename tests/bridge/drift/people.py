"""A device that counts tracks, as its telemetry brings them: answers drawn by share, one window a track."""

import random
from collections.abc import Mapping
from typing import Any

from edge_bridge.drift.tracks import BUCKETS
from edge_contract.messages import Histogram, Telemetry, TrackCounts
from tests.bridge.publisher import MODEL, telemetry

MONDAY = 1_767_571_200.0
LIGHT = {
    "face_brightness": 0.5, "face_contrast": 0.2, "face_sharpness": 0.5, "face_pixels": 90.0,
    "face_roll_degrees": 0.0, "brightness": 0.5, "contrast": 0.25, "sharpness": 0.4, "faceless": 0.4,
}  # fmt: skip


def counts(cells: Mapping[str, list[int]], sure: int = 0, **changed: Any) -> TrackCounts:
    """Tracks by label, then bucket."""
    answers = {label: Histogram(counts=tuple(row), sum=0.0) for label, row in cells.items() if sum(row)}
    return TrackCounts(**{"model": MODEL, "answers": answers, "sure": sure, **changed})


class Camera:
    """Counts on from window to window."""

    def __init__(self, name: str = "cam", seed: int = 1) -> None:
        self.name, self.random, self.time, self.sequence, self.session = name, random.Random(seed), MONDAY, 0, 5  # noqa: S311
        self.cells: dict[str, list[int]] = {}

    def window(
        self, mix: Mapping[str, float], buckets: Mapping[int, float], gauges: Mapping[str, float] = LIGHT
    ) -> Telemetry:
        """One track more, five minutes later; gauges scatter by a twentieth."""
        label = self.random.choices(list(mix), list(mix.values()))[0]
        bucket = self.random.choices(list(buckets), list(buckets.values()))[0]
        self.cells.setdefault(label, [0] * BUCKETS)[bucket] += 1
        self.time += 300
        self.sequence += 1
        shown = {name: value * self.random.gauss(1, 0.05) for name, value in gauges.items()}
        return telemetry(
            self.name, (self.session, self.sequence), self.sequence, end=self.time, gauges=shown,
            tracks=counts(self.cells),
        )  # fmt: skip
