"""How often answers are right, without labels: from how sure they are, and how often such answers were right on test
pictures. docs/drift.md has the measured error of both."""

from collections.abc import Mapping, Sequence
from typing import Final

from edge_bridge.drift.tracks import BUCKETS
from edge_bridge.drift.view import Estimate, Method
from edge_contract.manifest import Reference

LEAST: Final = 30.0
"""Tracks below which nothing is said."""
_Z: Final = 1.96
_LENT: Final = 5.0


def estimates(
    rows: Mapping[str, Sequence[float]], sure: float, reference: Reference, worth: float
) -> tuple[Estimate, ...]:
    """Both estimates from tracks by label and bucket; `sure` of them passed the reference's threshold.

    `worth` is how many independent tracks they are.
    """
    tracks = sum(map(sum, rows.values()))
    if tracks < LEAST:
        return ()
    found = []
    if reference.sure_above is not None:
        found.append(_estimate("thresholded", min(1.0, sure / tracks), tracks, worth))
    if (value := calibrated(rows, reference)) is not None:
        found.append(_estimate("calibrated", value, tracks, worth))
    return tuple(found)


def calibrated(rows: Mapping[str, Sequence[float]], reference: Reference) -> float | None:
    """The mean over tracks of how often answers of that label and bucket were right; None without a reference.

    A cell that hardly occurred takes some of its bucket over all labels.
    """
    answered, right = _whole(reference.by_label), _whole(reference.right)
    if not answered or answered.keys() != right.keys():
        return None
    of_all = [sum(column) for column in zip(*answered.values(), strict=True)]
    right_of_all = [sum(column) for column in zip(*right.values(), strict=True)]
    mean = sum(right_of_all) / max(1, sum(of_all))
    by_bucket = [(hit + _LENT * mean) / (n + _LENT) for hit, n in zip(right_of_all, of_all, strict=True)]
    total = tracks = 0.0
    for label, row in rows.items():
        hits, seen = right.get(label, (0,) * BUCKETS), answered.get(label, (0,) * BUCKETS)
        for bucket, count in enumerate(row):
            share = (hits[bucket] + _LENT * by_bucket[bucket]) / (seen[bucket] + _LENT)
            total, tracks = total + count * min(1.0, share), tracks + count
    return total / tracks if tracks else None


def _whole(table: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    return {label: row for label, row in table.items() if len(row) == BUCKETS}


def _estimate(method: Method, value: float, tracks: float, worth: float) -> Estimate:
    n, square = max(worth, 1.0), _Z * _Z
    middle = (value + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * (value * (1 - value) / n + square / (4 * n * n)) ** 0.5
    return Estimate(
        method=method,
        value=value,
        low=max(0.0, middle - half),
        high=min(1.0, middle + half),
        tracks=tracks,
    )
