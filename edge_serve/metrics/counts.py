"""What is counted, on the event loop's thread alone. Not here: how Prometheus reads it (`exposition`)."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from edge_contract.manifest import ModelManifest
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, STAGES, Stage

MODELS: Final = 64
"""Models with series of their own; those before them are forgotten."""


class Counts:
    """A histogram: counts by bucket, not summed up, the last for what is above all bounds; and the sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class ModelCounts:
    """Of one release."""

    def __init__(self, manifest: ModelManifest) -> None:
        self.manifest = manifest
        self.stages: dict[Stage, Counts] = {stage: Counts(STAGE_BOUNDS) for stage in STAGES}
        self.confidence = Counts(CONFIDENCE_BOUNDS)
        self.labels = [0] * len(manifest.labels)


class Observed(NamedTuple):
    """What one request cost and said."""

    stages: list[tuple[Stage, float]]
    """Seconds."""
    answers: list[tuple[int, float]]
    """The winning label's index and its probability."""
    frames: int
    faces: int


class ServeCounts:
    """One a process."""

    def __init__(self) -> None:
        self.frames = self.faces = 0
        self.errors: dict[str, int] = {}
        """By the device's kinds: `frame` for pictures, `model`, `pipeline`."""
        self.requests: dict[tuple[str, int], int] = {}
        """By route and status."""
        self.models: dict[str, ModelCounts] = {}
        """By digest, in the order they were loaded."""
        self.loaded = self.not_loaded = 0
        """New models that were, and that were not fit to be."""

    def serving(self, manifest: ModelManifest) -> None:
        """A model answers from now on."""
        kept = self.models.pop(manifest.digest, None) or ModelCounts(manifest)
        self.models[manifest.digest] = kept
        self.loaded += 1
        while len(self.models) > MODELS:
            del self.models[next(iter(self.models))]

    def refused(self) -> None:
        """A new model was not fit to answer, or could not be had."""
        self.not_loaded += 1

    def request(self, route: str, status: int) -> None:
        """One was answered."""
        key = (route, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def error(self, kind: str) -> None:
        """One picture or answer could not be used."""
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def observed(self, manifest: ModelManifest, seen: Observed, whole: float) -> None:
        """What a request that was answered cost; `whole`: seconds from its last byte to its answer."""
        counts = self.models.get(manifest.digest)
        if counts is None:
            return
        self.frames += seen.frames
        self.faces += seen.faces
        stages = counts.stages
        for stage, seconds in seen.stages:
            stages[stage].add(seconds)
        stages["whole"].add(whole)
        for label, confidence in seen.answers:
            counts.labels[label] += 1
            counts.confidence.add(confidence)
