"""One device as drift knows it: a frozen record, kept in the database as it is after a block of tracks was judged.

What came since then is not lost with a bridge that is killed: tracks are counted cumulatively, so the next window
brings the difference.
"""

import math
from array import array
from typing import Final

from msgspec import MsgspecError, Struct, json

from edge_bridge.drift.baseline import EMPTY_PAIRS, EMPTY_PICTURES, Baseline
from edge_bridge.drift.block import GAUGES, READINGS, Block
from edge_bridge.drift.detector import ALTERNATIVES
from edge_bridge.drift.evidence import Evidence
from edge_bridge.drift.packed import unpack, zeros
from edge_bridge.drift.tracks import BUCKETS, LABELS
from edge_bridge.drift.view import Cause, ReferenceKind
from edge_bridge.drift.week import PARTS
from edge_bridge.fleet.histograms import of_confidence
from edge_contract.messages import Count, Id, Label, ModelRef, Seconds, TrackCounts

PICTURE: Final = 4
"""Numbers a gauge: weight, what it showed, what is usual at these hours, and how far that scatters."""


class DriftState(Struct, frozen=True, kw_only=True):
    """See the module. A model that is changed begins anew."""

    device: Id
    model: ModelRef
    labels: tuple[Label, ...] = ()
    session: Count = 0
    sequence: Count = 0
    counted: bytes = b""
    """JSON of the `TrackCounts` of the last window of that session: it takes a fifth of the room."""
    taken: Seconds = 0.0
    """When the last window that was looked at ended."""
    block: Block = Block()
    judged: Seconds = 0.0
    """When the last block ended."""
    baseline: Baseline = Baseline()
    evidence: dict[ReferenceKind, Evidence] = {}
    causes: dict[ReferenceKind, Cause] = {}
    """Of the alarms that hold."""
    recent: bytes = b""
    """[labels, buckets of confidence] tracks, the older ones counting less."""
    recent_sure: float = 0.0
    pictures: bytes = zeros(PICTURE * len(GAUGES))
    """[gauges, `PICTURE`] of lately."""


def problem(state: DriftState) -> str:
    """Why a record that was read cannot be gone on from; empty where it can: the same bounds as while it is made."""
    if len(state.labels) > LABELS or len(set(state.labels)) != len(state.labels):
        return "its labels are too many, or one stands twice"
    own, labels = state.baseline, len(state.labels)
    known = len(own.last) // 4
    fits = (
        known <= labels
        and len(own.last) == 4 * known
        and len(own.mix) == 4 * known * PARTS
        and len(own.table) == 4 * known * BUCKETS
        and len(own.pairs) == (0 if own.frozen else len(EMPTY_PAIRS))
        and len(own.pictures) == len(EMPTY_PICTURES)
        and len(state.recent) % (4 * BUCKETS) == 0
        and len(state.recent) <= 4 * BUCKETS * labels
        and len(state.pictures) == 4 * PICTURE * len(GAUGES)
        and len(state.block.readings) in {0, READINGS}
        and all(cell < labels * BUCKETS for cell in state.block.cells)
    )
    for each in state.evidence.values():
        rows = len(each.logs) // (4 * ALTERNATIVES)
        fits = fits and rows <= labels + 1 and len(each.logs) == 4 * ALTERNATIVES * rows
        fits = fits and len(each.lately) == 8 * rows if rows else fits and len(each.lately) % 8 == 0
    if not fits or not _counts(state.counted):
        return "its rows do not fit its labels"
    rows_of_numbers = (own.mix, own.table, own.pairs, own.last, own.pictures, state.recent, state.pictures)
    packed = (*rows_of_numbers, *(part for each in state.evidence.values() for part in (each.logs, each.lately)))
    single = (
        own.since, own.frozen, own.scatter, own.last_end, state.recent_sure, *own.answers_and_confidence,
        state.block.start, state.block.end, *(array("d", state.block.readings) if fits else ()),
        *(each.tracks for each in state.evidence.values()),
    )  # fmt: skip
    if not all(map(math.isfinite, single)) or not all(all(map(math.isfinite, unpack(each))) for each in packed):
        return "it holds what is no number"
    if not 0 <= own.last_part < PARTS or own.scatter < 1 or min(own.answers_and_confidence) < 0:
        return "its baseline is none"
    return ""


def _counts(counted: bytes) -> bool:
    try:
        return not counted or all(map(of_confidence, json.decode(counted, type=TrackCounts).answers.values()))
    except (MsgspecError, ValueError, RecursionError):
        return False
