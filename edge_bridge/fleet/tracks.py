"""Face tracks of a device, each counted once: what a window gained, added to a total. Pure.

A device counts since its session began, or since its model took over; another model or another session begins anew.
"""

from typing import NamedTuple

from msgspec import Struct

from edge_bridge.fleet.histograms import growths
from edge_bridge.fleet.label_budget import OTHER
from edge_bridge.fleet.totals import added, added_by_name
from edge_contract.messages import Count, Histogram, ModelRef, TrackCounts


class Tracks(Struct, frozen=True, gc=False):
    """Tracks of one device under one model, over all its sessions."""

    answers: dict[str, Count] = {}
    """By label."""
    sure: Count = 0
    """Whose confidence was at least the manifest's `reference.sure_above`."""


class TrackGain(NamedTuple):
    """Tracks that ended between two windows."""

    model: ModelRef
    answers: dict[str, Histogram]
    """Confidence by label."""
    sure: int


def gained(before: TrackCounts | None, now: TrackCounts | None) -> TrackGain | None:
    """What came since `before`, which is of the same session; None where nothing did."""
    if now is None:
        return None
    if before is None or before.model.digest != now.model.digest:
        before = TrackCounts(model=now.model, answers={})
    answers = growths(before.answers, now.answers)
    sure = now.sure - before.sure if now.sure >= before.sure else now.sure
    return TrackGain(now.model, answers, sure) if answers or sure else None


def with_gain(total: Tracks, gain: TrackGain, limit: int) -> tuple[Tracks, int]:
    """The total with what was gained, and how many labels were too many: these count as `other`."""
    counts = {label: sum(each.counts) for label, each in gain.answers.items()}
    answers, refused = added_by_name(total.answers, counts, limit, OTHER)
    return Tracks(answers, added(total.sure, gain.sure)), refused
