"""What speaks for a change against one reference: the detector's logarithms, and by how much shares moved lately."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from edge_bridge.drift.detector import ALTERNATIVES, BEYOND, MONTH_S, NOTHING, advanced, summed
from edge_bridge.drift.packed import pack, unpack
from edge_contract.messages import Seconds

LATELY: Final = 50.0
"""Tracks after which a track counts half in what is shown as the effect."""
UNSURE: Final = 0
"""The row of unsure answers; those of labels follow."""


class Evidence(Struct, frozen=True, kw_only=True):
    """Against one reference. Rows are packed numbers: the unsure answers, then each label where labels are tested."""

    logs: bytes = b""
    """[rows, alternatives]"""
    lately: bytes = b""
    """[rows, 2] tracks observed and expected, the older ones counting less."""
    tracks: float = 0.0
    """What `lately` is of."""
    since: Seconds = 0.0
    """When the alarm began; 0 while there is none."""


class Row(NamedTuple):
    """One share of a block's tracks, and what the reference expects of it."""

    observed: float
    expected: float
    low: float
    high: float
    """Between these there is no change."""
    worth: float
    """Independent tracks."""


class Finding(NamedTuple):
    """What an `Evidence` comes to."""

    log10: float
    row: int
    """The share that speaks loudest."""
    effect: float
    """By how much it moved, observed less expected."""


def with_block(
    evidence: Evidence, rows: Sequence[Row], *, tracks: int, time: float, elapsed: float, threshold: float, least: float
) -> Evidence:
    """The evidence with one block more; `elapsed` seconds since the one before, `threshold` and `least` of an alarm.

    An alarm begins where the e-value passes `threshold` and its share moved by `least`; it ends once the evidence is
    gone, or half of what moved came back and the e-value is under the threshold again.
    """
    logs, lately = unpack(evidence.logs), unpack(evidence.lately)
    logs += [NOTHING] * (len(rows) * ALTERNATIVES - len(logs))
    lately += [0.0] * (len(rows) * 2 - len(lately))
    cap = math.log(threshold) + BEYOND
    start = math.log(max(1.0, elapsed) / MONTH_S / len(logs))
    kept = 0.5 ** (tracks / LATELY)
    for place, row in enumerate(rows):
        advanced(logs, place * ALTERNATIVES, row.observed, row.worth, (row.low, row.high), start, cap)
        lately[2 * place] = lately[2 * place] * kept + row.observed * tracks
        lately[2 * place + 1] = lately[2 * place + 1] * kept + row.expected * tracks
    moved = Evidence(logs=pack(logs), lately=pack(lately), tracks=evidence.tracks * kept + tracks, since=evidence.since)
    found = finding(moved)
    if found is None:
        return moved
    passed = found.log10 >= math.log10(threshold)
    if not evidence.since and passed and abs(found.effect) >= least:
        return Evidence(logs=moved.logs, lately=moved.lately, tracks=moved.tracks, since=time)
    if evidence.since and (found.log10 <= 0 or (not passed and abs(found.effect) < least / 2)):
        return Evidence(lately=moved.lately, tracks=moved.tracks)
    return moved


def finding(evidence: Evidence) -> Finding | None:
    """What it comes to; None before the first block."""
    if not evidence.logs or not evidence.tracks:
        return None
    logs, lately = unpack(evidence.logs), unpack(evidence.lately)
    row = max(range(len(logs)), key=logs.__getitem__) // ALTERNATIVES
    effect = (lately[2 * row] - lately[2 * row + 1]) / evidence.tracks
    return Finding(summed(logs) / math.log(10), row, effect)
