"""What a device counted between two messages, checked: whether it can be, and what it adds up to. Pure."""

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from edge_contract.messages import LARGEST, Amount, Count, Label, Sha256, ShadowCounts, Telemetry
from edge_contract.metrics import DeviceCounter
from edge_fleet.rollout.stretches import Series

FASTEST: Final = 300.0
"""Faces a second that no board classifies."""
LONGEST_WINDOW_S: Final = 3600.0
LABELS: Final = 64
"""Labels of which a mix is kept."""

_COUNTED: Final = ("looks", "failures", "skipped", "agreed", "less_sure", "more_sure", "slower")

Fault = Literal["counts fell", "counts contradict one another", "more than a camera can see"]


class Totals(Struct, frozen=True, kw_only=True):
    """What a window's message says was counted since the session began."""

    faces: Count
    errors: Count
    confidence: Amount
    inferences: Count
    seconds: Amount
    emotions: dict[Label, Count] = {}


class Shadow(Struct, frozen=True, kw_only=True):
    """Both models on the same faces: sums of the fields of `ShadowCounts` over all sessions of the device."""

    champion: Sha256 = "0" * 64
    looks: Count = 0
    failures: Count = 0
    skipped: Count = 0
    agreed: Count = 0
    less_sure: Count = 0
    more_sure: Count = 0
    slower: Count = 0
    confusion: dict[Label, dict[Label, Count]] = {}
    champion_seconds: Amount = 0.0
    challenger_seconds: Amount = 0.0
    disagreed: Series = Series()
    """Over stretches: how much looks of the same minutes resemble one another."""


def totals_of(telemetry: Telemetry) -> Totals:
    """The counts of a message, none larger than a row can hold."""
    inference = telemetry.stages.get("invoke")
    return Totals(
        faces=min(sum(telemetry.confidence.counts), LARGEST),
        errors=telemetry.counters.get(DeviceCounter.ERRORS_MODEL, 0),
        confidence=telemetry.confidence.sum,
        inferences=min(sum(inference.counts), LARGEST) if inference is not None else 0,
        seconds=inference.sum if inference is not None else 0.0,
        emotions=dict(telemetry.emotions),
    )


def gained(before: Totals, now: Totals) -> Totals | None:
    """What was counted between two messages; None where anything fell."""
    emotions = {label: count - before.emotions.get(label, 0) for label, count in now.emotions.items()}
    numbers = (
        now.faces - before.faces, now.errors - before.errors, now.confidence - before.confidence,
        now.inferences - before.inferences, now.seconds - before.seconds,
    )  # fmt: skip
    if min(*numbers, *emotions.values()) < 0 or before.emotions.keys() - now.emotions.keys():
        return None
    faces, errors, confidence, inferences, seconds = numbers
    return Totals(
        faces=int(faces),
        errors=int(errors),
        confidence=confidence,
        inferences=int(inferences),
        seconds=seconds,
        emotions={label: count for label, count in emotions.items() if count},
    )


def added(left: Totals, right: Totals) -> Totals:
    """Two gains together."""
    emotions = dict(left.emotions)
    for label, count in right.emotions.items():
        emotions[label] = emotions.get(label, 0) + count
    return Totals(
        faces=left.faces + right.faces,
        errors=left.errors + right.errors,
        confidence=left.confidence + right.confidence,
        inferences=left.inferences + right.inferences,
        seconds=left.seconds + right.seconds,
        emotions=emotions,
    )


def fault_of(gain: Totals, seconds: float) -> Fault | None:
    if max(gain.faces + gain.errors, gain.inferences) > _most_faces(seconds) or gain.seconds > _most_work(seconds):
        return "more than a camera can see"
    if gain.confidence > gain.faces * (1 + 1e-6) + 1e-6 or sum(gain.emotions.values()) > gain.faces:
        return "counts contradict one another"
    return None


def shadow_gained(before: ShadowCounts | None, now: ShadowCounts) -> Shadow | None:
    """What was counted between two messages; None where anything fell."""
    numbers = {name: getattr(now, name) - (getattr(before, name) if before else 0) for name in _COUNTED}
    seconds = [
        getattr(now, name).sum - (getattr(before, name).sum if before else 0.0)
        for name in ("champion_latency", "challenger_latency")
    ]
    confusion: dict[str, dict[str, int]] = {}
    smallest = 0
    for label, row in now.confusion.items():
        earlier = before.confusion.get(label, {}) if before else {}
        gains = {other: count - earlier.get(other, 0) for other, count in row.items()}
        smallest = min([smallest, *gains.values()])
        confusion[label] = {other: count for other, count in gains.items() if count}
    if min(smallest, *numbers.values(), *seconds) < 0:
        return None
    return Shadow(confusion=confusion, champion_seconds=seconds[0], challenger_seconds=seconds[1], **numbers)


def shadow_fault_of(gain: Shadow, seconds: float) -> Fault | None:
    work = max(gain.champion_seconds, gain.challenger_seconds)
    if gain.looks + gain.failures > _most_faces(seconds) or work > _most_work(seconds):
        return "more than a camera can see"
    same = sum(row.get(label, 0) for label, row in gain.confusion.items())
    named = sum(sum(row.values()) for row in gain.confusion.values())
    parts = (gain.agreed, gain.less_sure + gain.more_sure, gain.slower, named)
    contradicts = max(parts) > gain.looks or same > gain.agreed or named - same > gain.looks - gain.agreed
    return "counts contradict one another" if contradicts else None


def shadow_added(left: Shadow, gain: Shadow) -> Shadow:
    confusion = {label: dict(row) for label, row in left.confusion.items()}
    for label, row in gain.confusion.items():
        if label not in confusion and len(confusion) >= LABELS:
            continue
        kept = confusion.setdefault(label, {})
        for other, count in row.items():
            if other in kept or len(kept) < LABELS:
                kept[other] = kept.get(other, 0) + count
    return replace(
        left,
        confusion=confusion,
        champion_seconds=left.champion_seconds + gain.champion_seconds,
        challenger_seconds=left.challenger_seconds + gain.challenger_seconds,
        **{name: getattr(left, name) + getattr(gain, name) for name in _COUNTED},
    )


def _most_faces(seconds: float) -> float:
    return FASTEST * (1 + seconds)


def _most_work(seconds: float) -> float:
    """Seconds that all cores of a board can have worked in a window, and a slow inference that began before."""
    return 64 * (60 + seconds)
