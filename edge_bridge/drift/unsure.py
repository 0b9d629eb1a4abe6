"""How many answers are unsure, given what was answered: what a damaged picture changes first.

A reference says, by label, how many answers lie below one bound of confidence. Given the label, for the mix of labels
is a room's own: that of a set of test pictures is no room's.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from edge_bridge.drift.tracks import BUCKETS, Cells

LENT: Final = 10.0
"""A label takes so many answers from all labels together: it may have been answered twice."""
USUAL: Final = 1 / 3
"""About so many answers are unsure where nothing is wrong: what is wrong mostly makes them more."""
ENOUGH: Final = 100.0
"""Answers that a reference has at the least."""


class Unsure(NamedTuple):
    """See the module."""

    cut: int
    """Buckets of confidence below this one are unsure."""
    by_label: dict[str, float]
    overall: float
    answers: float
    """What it was measured on."""

    def expected(self, cells: Cells | bytes, labels: Sequence[str]) -> float:
        """The share of these tracks that should be unsure; `cells` is not empty."""
        return sum(self.by_label.get(labels[cell // BUCKETS], self.overall) for cell in cells) / len(cells)

    def observed(self, cells: Cells | bytes) -> float:
        """The share of these tracks that are."""
        return sum(cell % BUCKETS < self.cut for cell in cells) / len(cells)


def unsure(by_label: Mapping[str, Sequence[float]]) -> Unsure | None:
    """From answers by label and bucket of confidence; None of too few, or of other buckets than the contract's."""
    if not by_label or any(len(row) != BUCKETS for row in by_label.values()):
        return None
    buckets = [sum(column) for column in zip(*by_label.values(), strict=True)]
    answers = sum(buckets)
    if answers < ENOUGH:
        return None
    below = [sum(buckets[:cut]) / answers for cut in range(BUCKETS + 1)]
    cut = min(range(1, BUCKETS), key=lambda each: abs(below[each] - USUAL))
    overall = below[cut]
    shares = {label: (sum(row[:cut]) + LENT * overall) / (sum(row) + LENT) for label, row in by_label.items()}
    return Unsure(cut, shares, overall, answers)
