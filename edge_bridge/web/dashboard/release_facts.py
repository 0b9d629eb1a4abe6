"""Two releases side by side: how each was scored, what each answers in the fleet, and both on the same faces. Pure.

What the fleet counts is by `name-release`, as series are. Answers of two releases come from other rooms and other days
unless they were compared in shadow, which is why the shadow's table stands apart and says more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.histograms import merged, quantile
from edge_bridge.fleet.label_budget import OTHER
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_bridge.intervals import Interval, difference, wilson
from edge_bridge.labels.accuracy import Accuracy
from edge_bridge.web.dashboard.words import NOTHING, milliseconds
from edge_contract.group_status import GroupStatus, ShadowStatus
from edge_contract.manifest import Score
from edge_contract.messages import Histogram
from edge_contract.release_card import ReleaseCard
from edge_contract.visible import visible

DIFFERENCES: Final = 8
"""Pairs of answers on which both differ that are named."""


class Side(NamedTuple):
    """One release."""

    name: str
    """`name-release`."""
    card: ReleaseCard | None
    devices: int
    """That run it now."""
    stages: dict[str, Histogram]
    answers: dict[str, int]
    """Face tracks by label."""
    confidence: Histogram | None
    """Of face tracks."""
    labelled: Accuracy | None = None
    """By labels from the field."""


class Pair(NamedTuple):
    """Both on the same faces, all rollouts together that compared them."""

    groups: tuple[str, ...]
    old: str
    new: str
    shadow: ShadowStatus


def known(cards: Iterable[ReleaseCard], sums: Iterable[Key], devices: Iterable[Device]) -> list[str]:
    """Releases that can be shown, newest name first."""
    names = {record.short(each.manifest.ref) for each in cards}
    names |= {key.model for key in sums if key.model not in {OTHER, "none", ""}}
    names |= {record.short(each.active) for each in devices if each.active is not None}
    return sorted(names, key=_order)


def chosen(asked: str, names: Sequence[str], cards: Mapping[str, ReleaseCard]) -> str:
    """The release that an address means, by its name or its digest; empty for none."""
    if asked in names:
        return asked
    card = cards.get(asked)
    return record.short(card.manifest.ref) if card is not None else ""


def side(
    name: str,
    cards: Iterable[ReleaseCard],
    sums: Mapping[Key, Sum],
    devices: Iterable[Device],
    labelled: Accuracy | None = None,
) -> Side:
    """What is known of one release."""
    mine = [each for each in cards if record.short(each.manifest.ref) == name]
    stages: dict[str, Histogram] = {}
    tracks: dict[str, Histogram] = {}
    for key, total in sums.items():
        if key.model != name:
            continue
        for stage, histogram in total.stages.items():
            stages[stage] = merged(stages.get(stage), histogram)
        for label, histogram in total.tracks.items():
            tracks[label] = merged(tracks.get(label), histogram)
    confidence: Histogram | None = None
    for histogram in tracks.values():
        confidence = merged(confidence, histogram)
    return Side(
        name,
        max(mine, key=lambda each: each.time, default=None),
        sum(1 for each in devices if each.active is not None and record.short(each.active) == name),
        stages,
        {label: sum(histogram.counts) for label, histogram in tracks.items()},
        confidence,
        labelled,
    )


def paired(a: str, b: str, groups: Mapping[str, GroupStatus]) -> Pair | None:
    """What rollouts that compared these two counted, the one that answered first; None where none did."""
    found: list[tuple[str, ShadowStatus]] = []
    old, new = a, b
    for name, status in sorted(groups.items()):
        rollout = status.rollout
        if rollout is None or rollout.shadow.looks <= 0:
            continue
        pair = (record.short(rollout.rest), record.short(rollout.release))
        if set(pair) != {a, b} or (found and pair != (old, new)):
            continue
        old, new = pair
        found.append((name, rollout.shadow))
    if not found:
        return None
    return Pair(tuple(name for name, _ in found), old, new, _together([shadow for _, shadow in found]))


def rows(a: Side, b: Side) -> list[tuple[str, str, str, str]]:
    """What is compared, of the first, of the second, and the second less the first."""
    found = [
        ("Devices that run it", f"{a.devices:,}", f"{b.devices:,}", NOTHING),
        ("Accuracy, test pictures", _scored(a), _scored(b), _points(_score_gap(a, b))),
        ("Tested on", _tested(a), _tested(b), NOTHING),
        ("Mean confidence of a face", _mean(a.confidence), _mean(b.confidence), NOTHING),
    ]
    if a.labelled is not None or b.labelled is not None:
        found.insert(3, ("Accuracy, labelled in the field", _labelled(a), _labelled(b), NOTHING))
    for stage, name in (("invoke", "Latency of the model"), ("whole", "Latency, frame to answer")):
        found.append((f"{name}, median | p95", _latency(a, stage), _latency(b, stage), NOTHING))
    return found


def mix(a: Side, b: Side) -> list[tuple[str, str, str, str]]:
    """Shares of answers by label with their intervals, and the difference with its own."""
    n_a, n_b = sum(a.answers.values()), sum(b.answers.values())
    found = []
    for label in sorted({*a.answers, *b.answers}):
        left, right = wilson(a.answers.get(label, 0), n_a), wilson(b.answers.get(label, 0), n_b)
        found.append((visible(label), _share(left), _share(right), _points(difference(left, right))))
    return found


def shares(a: Side, b: Side) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """For a chart: labels, and of each release the shares in per cent."""
    labels = sorted({*a.answers, *b.answers})
    sides = []
    for one in (a, b):
        n = sum(one.answers.values()) or 1
        sides.append((one.name, [round(100 * one.answers.get(label, 0) / n, 1) for label in labels]))
    return labels, sides


def disagreements(shadow: ShadowStatus) -> list[tuple[str, str, str, str]]:
    """Old answer, new answer, looks, share of all looks with its interval: the most frequent first."""
    pairs = Counter(
        {
            (row, column): count
            for row, counts in shadow.confusion.items()
            for column, count in counts.items()
            if row != column and count > 0
        }
    )
    return [
        (visible(row), visible(column), f"{count:,.0f}", _share(wilson(count, shadow.looks)))
        for (row, column), count in pairs.most_common(DIFFERENCES)
    ]


def _together(shadows: Sequence[ShadowStatus]) -> ShadowStatus:
    confusion: dict[str, dict[str, float]] = {}
    for shadow in shadows:
        for row, counts in shadow.confusion.items():
            mine = confusion.setdefault(row, {})
            for column, count in counts.items():
                mine[column] = mine.get(column, 0.0) + count
    return ShadowStatus(
        looks=sum(each.looks for each in shadows),
        agreed=sum(each.agreed for each in shadows),
        failures=sum(each.failures for each in shadows),
        less_sure=sum(each.less_sure for each in shadows),
        more_sure=sum(each.more_sure for each in shadows),
        slower=sum(each.slower for each in shadows),
        confusion=confusion,
    )


def _order(name: str) -> tuple[str, int]:
    base, _, release = name.rpartition("-")
    return (base, -int(release)) if release.isdecimal() and len(release) < 12 else (name, 0)


def _score(side: Side) -> Score | None:
    accuracy = side.card.manifest.accuracy if side.card is not None else None
    return accuracy.int8 if accuracy is not None else None


def _scored(side: Side) -> str:
    score = _score(side)
    return NOTHING if score is None else f"{score.accuracy:.2%} [{score.low:.2%}, {score.high:.2%}]"


def _labelled(side: Side) -> str:
    found = side.labelled
    return NOTHING if found is None else f"{found.share:.2%} [{found.low:.2%}, {found.high:.2%}], n = {found.crops:,}"


def _tested(side: Side) -> str:
    score = _score(side)
    return NOTHING if score is None else f"{visible(score.dataset)} {visible(score.split)}, n = {score.n:,}"


def _score_gap(a: Side, b: Side) -> Interval | None:
    left, right = _score(a), _score(b)
    if (
        left is None
        or right is None
        or (left.dataset, left.split, left.label_set)
        != (
            right.dataset,
            right.split,
            right.label_set,
        )
    ):
        return None
    # On the same pictures, of which each answer is not known any more: this interval is wider than a paired one.
    return difference(Interval(left.accuracy, left.low, left.high), Interval(right.accuracy, right.low, right.high))


def _share(interval: Interval | None) -> str:
    return NOTHING if interval is None else f"{interval.share:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _points(gap: Interval | None) -> str:
    if gap is None:
        return NOTHING
    return f"{100 * gap.share:+.1f} points [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def _mean(histogram: Histogram | None) -> str:
    count = sum(histogram.counts) if histogram is not None else 0
    return f"{histogram.sum / count:.1%}, {count:,} faces" if histogram is not None and count else NOTHING


def _latency(side: Side, stage: str) -> str:
    histogram = side.stages.get(stage)
    if histogram is None or not any(histogram.counts):
        return NOTHING
    return f"{milliseconds(quantile(histogram.counts, 0.5))} | {milliseconds(quantile(histogram.counts, 0.95))}"
