"""What a device counted between two messages, checked: whether it can be, and what it adds up to. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from edge_contract.messages import LARGEST, Amount, Count, Label, Sha256, ShadowCounts, Telemetry
from edge_contract.metrics import DeviceCounter
from edge_fleet.rollout.evidence.stretches import Series

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
    sure: dict[Label, Count] = {}
    contradicted: dict[Label, Count] = {}
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
    emotions = _label_gains(before.emotions, now.emotions)
    numbers = (
        now.faces - before.faces, now.errors - before.errors, now.confidence - before.confidence,
        now.inferences - before.inferences, now.seconds - before.seconds,
    )  # fmt: skip
    if emotions is None or min(numbers) < 0:
        return None
    faces, errors, confidence, inferences, seconds = numbers
    return Totals(
        faces=int(faces),
        errors=int(errors),
        confidence=confidence,
        inferences=int(inferences),
        seconds=seconds,
        emotions=emotions,
    )


def added(left: Totals, right: Totals) -> Totals:
    """Two gains together."""
    return Totals(
        faces=left.faces + right.faces,
        errors=left.errors + right.errors,
        confidence=left.confidence + right.confidence,
        inferences=left.inferences + right.inferences,
        seconds=left.seconds + right.seconds,
        emotions=_label_sums(left.emotions, right.emotions),
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
    rows = {
        label: _label_gains(before.confusion.get(label, {}) if before else {}, now.confusion.get(label, {}))
        for label in {**(before.confusion if before else {}), **now.confusion}
    }
    sure = _label_gains(before.sure if before else {}, now.sure)
    contradicted = _label_gains(before.contradicted if before else {}, now.contradicted)
    if min(*numbers.values(), *seconds) < 0 or sure is None or contradicted is None or None in rows.values():
        return None
    return Shadow(
        confusion={label: row for label, row in rows.items() if row},
        sure=sure,
        contradicted=contradicted,
        champion_seconds=seconds[0],
        challenger_seconds=seconds[1],
        **numbers,
    )


def shadow_fault_of(gain: Shadow, seconds: float) -> Fault | None:
    work = max(gain.champion_seconds, gain.challenger_seconds)
    if gain.looks + gain.failures > _most_faces(seconds) or work > _most_work(seconds):
        return "more than a camera can see"
    same = sum(row.get(label, 0) for label, row in gain.confusion.items())
    named = sum(sum(row.values()) for row in gain.confusion.values())
    parts = (gain.agreed, gain.less_sure + gain.more_sure, gain.slower, named, sum(gain.sure.values()))
    contradicts = max(parts) > gain.looks or same > gain.agreed or named - same > gain.looks - gain.agreed
    contradicts |= sum(gain.contradicted.values()) > gain.looks - gain.agreed
    contradicts |= any(count > gain.sure.get(label, 0) for label, count in gain.contradicted.items())
    if named == gain.looks:  # else some looks have no place in the confusion, and these may be any
        for label, count in gain.sure.items():
            row, other = gain.confusion.get(label, {}), gain.contradicted.get(label, 0)
            contradicts |= count - other > row.get(label, 0) or other > sum(row.values()) - row.get(label, 0)
    return "counts contradict one another" if contradicts else None


def shadow_added(left: Shadow, gain: Shadow) -> Shadow:
    confusion = dict(left.confusion)
    for label, row in gain.confusion.items():
        if label in confusion or len(confusion) < LABELS:
            confusion[label] = _label_sums(confusion.get(label, {}), row, LABELS)
    sure = _label_sums(left.sure, gain.sure, LABELS)
    contradicted = {label: count for label, count in gain.contradicted.items() if label in sure}
    return replace(
        left,
        confusion=confusion,
        sure=sure,
        contradicted=_label_sums(left.contradicted, contradicted),
        champion_seconds=left.champion_seconds + gain.champion_seconds,
        challenger_seconds=left.challenger_seconds + gain.challenger_seconds,
        **{name: getattr(left, name) + getattr(gain, name) for name in _COUNTED},
    )


def _label_gains(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int] | None:
    """What each label gained, those that gained nothing left out; None where one fell or is gone."""
    gains = {label: count - before.get(label, 0) for label, count in now.items()}
    if before.keys() - now.keys() or any(count < 0 for count in gains.values()):
        return None
    return {label: count for label, count in gains.items() if count}


def _label_sums(left: Mapping[str, int], right: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    """Both together; of more than `most` labels those met first."""
    sums = dict(left)
    for label, count in right.items():
        if label in sums or most is None or len(sums) < most:
            sums[label] = sums.get(label, 0) + count
    return sums


def _most_faces(seconds: float) -> float:
    return FASTEST * (1 + seconds)


def _most_work(seconds: float) -> float:
    """Seconds that all cores of a board can have worked in a window, and a slow inference that began before."""
    return 64 * (60 + seconds)
