"""Face tracks that a window adds to the one before it."""

from typing import Final

from msgspec.structs import replace

from edge_bridge.fleet.histograms import growth, of_confidence
from edge_contract.messages import CONFIDENCE_BOUNDS, Label, TrackCounts

BUCKETS: Final = len(CONFIDENCE_BOUNDS) + 1
LABELS: Final = 16
"""Labels that are judged, those met first: what else a model answers counts as tracks and is not tested."""
MOST: Final = 512
"""A window that adds more tracks is of hours that were lost, or of no people: it is where counting goes on from."""

Cells = list[int]
"""One number a track: its label's place times `BUCKETS`, plus its bucket of confidence."""


def known_labels(labels: tuple[Label, ...], counts: TrackCounts) -> tuple[Label, ...]:
    """The labels of the counts, behind those known already."""
    fresh = [label for label in counts.answers if label not in labels]
    return (*labels, *sorted(fresh))[:LABELS] if fresh else labels


def judged(counts: TrackCounts, labels: tuple[Label, ...]) -> TrackCounts:
    """The counts of these labels alone, which bounds what is kept of a device that invents some."""
    answers = {label: each for label, each in counts.answers.items() if label in labels and of_confidence(each)}
    return counts if len(answers) == len(counts.answers) else replace(counts, answers=answers)


def gained(before: TrackCounts | None, now: TrackCounts, labels: tuple[Label, ...]) -> Cells:
    """The tracks counted since `before`, of the same session and model; without it, all of them.

    None where they are more than `MOST`, and none of a histogram that has not one count per bucket.
    """
    cells: Cells = []
    for place, label in enumerate(labels):
        histogram = now.answers.get(label)
        if histogram is None or not of_confidence(histogram):
            continue
        old = before.answers.get(label) if before is not None else None
        if old is histogram or old == histogram:
            continue
        for bucket, count in enumerate(growth(old, histogram).counts):
            if count:
                if count + len(cells) > MOST:
                    return []
                cells += [place * BUCKETS + bucket] * count
    return cells
