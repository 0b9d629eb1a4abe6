"""Counts drawn faces as tracks: each passes once and is called one thing, so each look is a track of its own."""

from edge_agent.telemetry.meter import Buckets
from edge_contract.messages import CONFIDENCE_BOUNDS, ModelRef, TrackCounts


class TrackMeter:
    """Of the model that answers; used by one thread."""

    def __init__(self) -> None:
        self._model: ModelRef | None = None
        self._answers: dict[str, Buckets] = {}
        self._sure = 0

    def count(self, model: ModelRef, label: str, confidence: float, sure_above: float | None) -> None:
        """A face passed; the counts begin anew with another model. `sure_above`: of the model's manifest."""
        if model != self._model:
            self._model, self._answers, self._sure = model, {}, 0
        self._answers.setdefault(label, Buckets(CONFIDENCE_BOUNDS)).observe(confidence)
        self._sure += sure_above is not None and confidence >= sure_above

    def read(self) -> TrackCounts | None:
        """The counts so far; None before the first."""
        if self._model is None:
            return None
        answers = {label: buckets.snapshot() for label, buckets in self._answers.items()}
        return TrackCounts(model=self._model, answers=answers, sure=self._sure)
