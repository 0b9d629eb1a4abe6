"""Counts face tracks by what they were called, for each model of this session: cumulative, as everything that travels.

A model that comes back, after a trial that failed, is counted on from where it stood. A message holds one model: that
which answers, or first the one before it, when its last tracks were counted after the last message.
"""

from typing import Final

import msgspec

from edge_agent.inference.events import CountedTrack
from edge_agent.telemetry.meter import Buckets
from edge_contract.messages import CONFIDENCE_BOUNDS, ModelRef, TrackCounts

_MODELS: Final = 8
"""Models remembered; the one that was counted first goes when there are more."""
_LABELS: Final = 64  # as the message has it
_BYTES: Final = 32 * 1024
"""Of the answers in a message: with a shadow's counts they must fit its packet too."""
_HISTOGRAM_BYTES: Final = 300  # ten counts and a sum, of the most digits they come to, with their punctuation


class _Answers:
    """The counts of one model."""

    def __init__(self) -> None:
        self._answers: dict[str, Buckets] = {}
        self._bytes, self._sure = 0, 0

    def count(self, track: CountedTrack) -> None:
        answers = self._answers.get(track.label)
        if answers is None:
            size = len(msgspec.json.encode(track.label)) + _HISTOGRAM_BYTES
            if len(self._answers) >= _LABELS or self._bytes + size > _BYTES:
                return
            self._bytes += size
            answers = self._answers[track.label] = Buckets(CONFIDENCE_BOUNDS)
        answers.observe(track.confidence)
        self._sure += track.sure

    def snapshot(self, model: ModelRef) -> TrackCounts:
        answers = {label: buckets.snapshot() for label, buckets in self._answers.items()}
        return TrackCounts(model=model, answers=answers, sure=self._sure)


class TrackMeter:
    """The counts of each model; one thread at a time."""

    def __init__(self) -> None:
        self._models: dict[ModelRef, _Answers] = {}
        self._latest: ModelRef | None = None
        self._unread: list[ModelRef] = []

    def count(self, track: CountedTrack) -> None:
        """Add one."""
        model = self._latest = track.model
        if model not in self._models:
            if len(self._models) >= _MODELS:
                del self._models[next(iter(self._models))]
            self._models[model] = _Answers()
        self._models[model].count(track)
        if model not in self._unread:
            self._unread.append(model)

    def read(self) -> TrackCounts | None:
        """The counts of the model before, where they were not read yet, else of this one; None before the first."""
        unread = [model for model in self._unread if model in self._models]
        model, self._unread = (unread[0], unread[1:]) if unread else (self._latest, [])
        return None if model is None else self._models[model].snapshot(model)
