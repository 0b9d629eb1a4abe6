"""What a device is compared with when it is compared with itself: its answers and pictures while it was learned.

Learned from a number of tracks over at least some hours, then frozen: what drifts slowly must not drag its own
reference along. Parts of the week that were hardly seen by then are filled up afterwards, with room meanwhile.
"""

import math
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from edge_bridge.drift.block import GAUGES, Block
from edge_bridge.drift.correlation import Correlation, measured
from edge_bridge.drift.packed import pack, unpack, zeros
from edge_bridge.drift.tracks import BUCKETS
from edge_bridge.drift.week import DAY_PARTS, PARTS, day_part

TOGETHER: Final = 30.0
"""So many tracks of all hours stand in for those that a part of the week lacks."""
APART: Final = 0.06
"""Share of a label's variance that lies between parts of the week, where a part was not seen."""
DAYS: Final = 0.005
"""Share of a label's variance that lies between days: a baseline of one day does not know it."""
FULL: Final = 0.1
"""A part of the week that has this share of all tracks wanted is learned."""
NEAR_S: Final = 3600.0
"""Blocks further apart are not one after the other."""

_ALIKE, _PAIRS, _NEXT_ALIKE, _NEXT_PAIRS = range(4)


EMPTY_PAIRS: Final = zeros(4 * PARTS + 2)
EMPTY_PICTURES: Final = zeros(DAY_PARTS * len(GAUGES) * 3)


class Baseline(Struct, frozen=True, kw_only=True):
    """See the module. Rows are packed numbers; those over labels grow with the labels."""

    since: float = 0.0
    frozen: float = 0.0
    tracks: int = 0
    mix: bytes = b""
    """[labels, parts of the week] tracks."""
    table: bytes = b""
    """[labels, buckets of confidence] tracks."""
    pairs: bytes = EMPTY_PAIRS
    """[4, parts]: alike pairs of tracks within a block, all of them, and the same of blocks in a row; then, of the same
    pairs, the sums of products of the confidences' buckets. Empty once it is frozen."""
    last: bytes = b""
    """[labels] tracks of the last block."""
    last_end: float = 0.0
    last_part: int = 0
    answers: Correlation = Correlation()
    confidence: Correlation = Correlation()
    scatter: float = 1.0
    """Tracks of the baseline that are worth one independent track."""
    pictures: bytes = EMPTY_PICTURES
    """[parts of the day, gauges, 3] blocks, their mean, and the sum of squares about it."""

    @property
    def answers_and_confidence(self) -> tuple[float, ...]:
        """All of both correlations."""
        return (self.answers.within, self.answers.next_to, self.confidence.within, self.confidence.next_to)


def grown(baseline: Baseline, labels: int) -> Baseline:
    """With room for so many labels."""
    missing = labels - len(baseline.last) // 4
    if missing <= 0:
        return baseline
    return replace(
        baseline,
        mix=baseline.mix + zeros(missing * PARTS),
        table=baseline.table + zeros(missing * BUCKETS),
        last=baseline.last + zeros(missing),
    )


def learned(baseline: Baseline, block: Block, wanted: int, hours: float) -> Baseline:
    """The baseline with one block more; frozen when it has so many tracks over so many hours."""
    labels = len(baseline.last) // 4
    counts, part = block.counts(labels), block.part
    mix, table, pairs = unpack(baseline.mix), unpack(baseline.table), unpack(baseline.pairs)
    for cell in block.cells:
        table[cell] += 1
    n, total, squares = len(block.cells), 0, 0
    for cell in block.cells:
        total += cell % BUCKETS
        squares += (cell % BUCKETS) ** 2
    for label, count in enumerate(counts):
        mix[label * PARTS + part] += count
        pairs[_ALIKE * PARTS + part] += count * (count - 1)
    pairs[_PAIRS * PARTS + part] += n * (n - 1)
    pairs[4 * PARTS] += total * total - squares
    before = unpack(baseline.last)
    met = sum(before)
    if met and baseline.last_part == part and 0 <= block.start - baseline.last_end <= NEAR_S:
        pairs[_NEXT_ALIKE * PARTS + part] += sum(map(float.__mul__, before, counts))
        pairs[_NEXT_PAIRS * PARTS + part] += met * n
    since = baseline.since or block.start
    baseline = replace(
        baseline,
        since=since,
        tracks=baseline.tracks + n,
        mix=pack(mix),
        table=pack(table),
        pairs=pack(pairs),
        last=pack(counts),
        last_end=block.end,
        last_part=part,
        pictures=_with_pictures(baseline.pictures, part, block),
    )
    if baseline.tracks >= wanted and block.end - since >= hours * 3600:
        return _finished(baseline, block.end)
    return baseline


def filled(baseline: Baseline, block: Block, wanted: int) -> Baseline:
    """The frozen baseline, where the block is of a part of the week that was hardly seen: that part with it."""
    labels, part = len(baseline.last) // 4, block.part
    mix = unpack(baseline.mix)
    if sum(mix[part::PARTS]) >= FULL * wanted:
        return baseline
    for label, count in enumerate(block.counts(labels)):
        mix[label * PARTS + part] += count
    # Not the pictures: light goes by the hour of any day, and these may be spoiled already.
    return replace(baseline, mix=pack(mix))


def _finished(baseline: Baseline, now: float) -> Baseline:
    mix, table, pairs = unpack(baseline.mix), unpack(baseline.table), unpack(baseline.pairs)
    chance = chance_next = 0.0
    for part in range(PARTS):
        counts = mix[part::PARTS]
        n = sum(counts)
        same = sum(each * each for each in counts) / (n * n) if n else 1.0
        chance += same * pairs[_PAIRS * PARTS + part]
        chance_next += same * pairs[_NEXT_PAIRS * PARTS + part]
    alike, within, alike_next, following = (sum(pairs[row * PARTS : (row + 1) * PARTS]) for row in range(4))
    answers = measured(alike, chance, within, alike_next, chance_next, following)
    tracks = sum(table) or 1.0
    by_bucket = [sum(table[bucket::BUCKETS]) / tracks for bucket in range(BUCKETS)]
    mean = sum(bucket * share for bucket, share in enumerate(by_bucket))
    variance = sum((bucket - mean) ** 2 * share for bucket, share in enumerate(by_bucket))
    resemblance = (pairs[4 * PARTS] / within - mean * mean) / variance if within and variance else 0.0
    confidence = Correlation(min(1.0, max(answers.within, resemblance)), answers.next_to)
    blocks = within / tracks + 1  # tracks of the block that the average track is in
    return replace(baseline, frozen=now, answers=answers, confidence=confidence, scatter=blocks / answers.worth(blocks))


class Expected(NamedTuple):
    """Shares of a part of the week, and how well each is known."""

    shares: list[float]
    errors: list[float]
    """Standard errors."""


def expected(baseline: Baseline, part: int) -> Expected:
    """What a frozen baseline expects of the answers in this part of the week."""
    mix = unpack(baseline.mix)
    labels = len(mix) // PARTS
    pool = [sum(mix[label * PARTS : (label + 1) * PARTS]) for label in range(labels)]
    here = mix[part::PARTS]
    total, n = sum(pool), sum(here) / baseline.scatter
    together = min(TOGETHER, total / baseline.scatter)
    shares, errors = [], []
    for count, of_all in zip(here, pool, strict=True):
        common = (of_all + 0.5) / (total + 0.5 * labels)
        share = (count / baseline.scatter + together * common) / (n + together)
        lacking = together / (n + together)
        spread = 1 / (n + together) + APART * lacking * lacking + DAYS
        shares.append(share)
        errors.append(math.sqrt(share * (1 - share) * spread))
    return Expected(shares, errors)


def usual_pictures(baseline: Baseline, part: int) -> list[tuple[float, float] | None]:
    """Mean and spread of each of `GAUGES` in these hours of the day; None where it was hardly seen."""
    rows = unpack(baseline.pictures)
    found: list[tuple[float, float] | None] = []
    for gauge in range(len(GAUGES)):
        at = (day_part(part) * len(GAUGES) + gauge) * 3
        seen, mean, squares = rows[at : at + 3]
        found.append((mean, math.sqrt(max(0.0, squares) / seen)) if seen >= 2 else None)
    return found


def _with_pictures(pictures: bytes, part: int, block: Block) -> bytes:
    rows = unpack(pictures)
    for gauge, value in enumerate(block.shown()):
        if value is None:
            continue
        at = (day_part(part) * len(GAUGES) + gauge) * 3
        seen, mean = rows[at] + 1, rows[at + 1]
        moved = mean + (value - mean) / seen
        rows[at : at + 3] = seen, moved, rows[at + 2] + (value - mean) * (value - moved)
    return pack(rows)
