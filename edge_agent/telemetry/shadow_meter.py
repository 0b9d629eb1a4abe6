"""Counts how a model in shadow compares with the one that answers: cumulative, as everything that travels.

The counts begin anew with another pair of models or with other terms, for under those they cannot be added up. They
are read once more after a shadow ended, so that what its last window counted travels too.
"""

import threading
from typing import Final

import msgspec

from edge_agent.inference.events import Compared
from edge_agent.telemetry.meter import Buckets
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, ModelRef, ShadowCounts
from edge_contract.wave import ShadowTerms

_LABELS: Final = 64
"""Rows of a confusion, and entries of a row, as the message has it."""
_CONFUSION_BYTES: Final = 32 * 1024
"""Of the confusion in a message: a window of models with hundreds of labels must fit its packet too."""
_SURE_BYTES: Final = 8 * 1024
_ENTRY_BYTES: Final = 24  # a count of 19 digits with its punctuation


class Confusion:
    """Answers of two models, by the one's label and then the other's; the pairs met first where there are too many."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._bytes = 0

    def count(self, champion: str, challenger: str) -> None:
        """Add one."""
        row = self._counts.get(champion)
        if row is not None and challenger in row:
            row[challenger] += 1
            return
        size = _size(challenger) + (_size(champion) if row is None else 0)
        if len(self._counts if row is None else row) >= _LABELS or self._bytes + size > _CONFUSION_BYTES:
            return
        self._bytes += size
        self._counts.setdefault(champion, {})[challenger] = 1

    def snapshot(self) -> dict[str, dict[str, int]]:
        """The counts so far."""
        return {champion: dict(row) for champion, row in self._counts.items()}


class Sure:
    """Looks at which the champion was sure, and those of them that were contradicted; by its label, those met first."""

    def __init__(self) -> None:
        self._sure: dict[str, int] = {}
        self._contradicted: dict[str, int] = {}
        self._bytes = 0

    def count(self, champion: str, challenger: str) -> None:
        """Add one."""
        if champion not in self._sure:
            size = 2 * _size(champion)
            if len(self._sure) >= _LABELS or self._bytes + size > _SURE_BYTES:
                return
            self._bytes += size
        self._sure[champion] = self._sure.get(champion, 0) + 1
        if champion != challenger:
            self._contradicted[champion] = self._contradicted.get(champion, 0) + 1

    def snapshot(self) -> tuple[dict[str, int], dict[str, int]]:
        """The counts so far: sure, and of these contradicted."""
        return dict(self._sure), dict(self._contradicted)


def _size(label: str) -> int:
    return len(msgspec.json.encode(label)) + _ENTRY_BYTES


class _Pair:
    """The counts of one pair under one set of terms."""

    def __init__(self, champion: ModelRef, challenger: ModelRef, terms: ShadowTerms) -> None:
        self.champion, self.challenger, self.terms = champion, challenger, terms
        self.looks = self.failures = self.skipped = 0
        self._agreed = self._less_sure = self._more_sure = self._slower = 0
        self._confusion, self._sure = Confusion(), Sure()
        self._confidence = Buckets(CONFIDENCE_BOUNDS), Buckets(CONFIDENCE_BOUNDS)
        self._latency = Buckets(STAGE_BOUNDS), Buckets(STAGE_BOUNDS)

    def look(self, look: Compared) -> None:
        self.looks += 1
        self._agreed += look.champion_label == look.challenger_label
        self._confusion.count(look.champion_label, look.challenger_label)
        if look.champion_confidence >= self.terms.sure:
            self._sure.count(look.champion_label, look.challenger_label)
        surer = look.challenger_confidence - look.champion_confidence
        self._less_sure += surer < -self.terms.unsure
        self._more_sure += surer > self.terms.unsure
        self._slower += look.challenger_seconds > self.terms.slower * look.champion_seconds
        for buckets, value in zip(
            self._confidence, (look.champion_confidence, look.challenger_confidence), strict=True
        ):
            buckets.observe(value)
        for buckets, value in zip(self._latency, (look.champion_seconds, look.challenger_seconds), strict=True):
            buckets.observe(value)

    def snapshot(self) -> ShadowCounts:
        sure, contradicted = self._sure.snapshot()
        return ShadowCounts(
            champion=self.champion,
            challenger=self.challenger,
            looks=self.looks,
            failures=self.failures,
            skipped=self.skipped,
            agreed=self._agreed,
            confusion=self._confusion.snapshot(),
            less_sure=self._less_sure,
            more_sure=self._more_sure,
            slower=self._slower,
            champion_confidence=self._confidence[0].snapshot(),
            challenger_confidence=self._confidence[1].snapshot(),
            champion_latency=self._latency[0].snapshot(),
            challenger_latency=self._latency[1].snapshot(),
            sure=sure,
            contradicted=contradicted,
        )


class ShadowMeter:
    """A `ShadowObserver`; any thread may begin, end and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pair: _Pair | None = None
        self._ended = False

    def begin(self, champion: ModelRef, challenger: ModelRef, terms: ShadowTerms) -> None:
        """Count this pair, on from where it stands if it was counted until now under these terms."""
        with self._lock:
            self._ended = False
            pair = self._pair
            if pair is None or (pair.champion, pair.challenger, pair.terms) != (champion, challenger, terms):
                self._pair = _Pair(champion, challenger, terms)

    def end(self) -> None:
        """Count no more; the counts are read once more."""
        with self._lock:
            self._ended = True

    def read(self) -> ShadowCounts | None:
        """The counts; None while no model is in shadow."""
        with self._lock:
            counts = None if self._pair is None else self._pair.snapshot()
            if self._ended:
                self._pair = None
            return counts

    def compared(self, look: Compared) -> None:
        """Count it."""
        with self._lock:
            if (pair := self._of(look.champion, look.challenger)) is not None:
                pair.look(look)

    def shadow_failed(self, champion: ModelRef, challenger: ModelRef) -> None:
        """Count it."""
        with self._lock:
            if (pair := self._of(champion, challenger)) is not None:
                pair.failures += 1

    def shadow_skipped(self, challenger: ModelRef, count: int) -> None:
        """Count them."""
        with self._lock:
            if self._pair is not None and self._pair.challenger == challenger:
                self._pair.skipped += count

    def _of(self, champion: ModelRef, challenger: ModelRef) -> _Pair | None:
        """The pair to count in: of a new champion a new one; none for a challenger that is in shadow no more."""
        pair = self._pair
        if pair is None or pair.challenger != challenger:
            return None
        if pair.champion != champion:
            pair = self._pair = _Pair(champion, challenger, pair.terms)
        return pair
