"""Histograms of a device, as arithmetic: what one gained, two added up, and the quantile of one."""

from collections.abc import Mapping, Sequence
from operator import sub

from edge_bridge.fleet.totals import added_each, added_sum
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, Histogram


def of_stage(histogram: Histogram) -> bool:
    """Whether it has one count for each bound of a stage's latency and one more."""
    return len(histogram.counts) == len(STAGE_BOUNDS) + 1


def of_confidence(histogram: Histogram) -> bool:
    """Whether it has one count for each bound of confidence and one more."""
    return len(histogram.counts) == len(CONFIDENCE_BOUNDS) + 1


def growths(before: Mapping[str, Histogram], now: Mapping[str, Histogram]) -> dict[str, Histogram]:
    """What each of several cumulative histograms gained, without those that gained nothing."""
    found = {}
    for name, each in now.items():
        old = before.get(name)
        if old is None or old.counts != each.counts:
            found[name] = growth(old, each)
    return found


def growth(before: Histogram | None, now: Histogram) -> Histogram:
    """What a cumulative histogram gained; one that fell in any bucket was reset, so all it shows is gain."""
    if before is None or len(before.counts) != len(now.counts):
        return now
    counts, observed = tuple(map(sub, now.counts, before.counts)), now.sum - before.sum
    return now if min(counts, default=0) < 0 else Histogram(counts=counts, sum=observed if observed > 0.0 else 0.0)


def merged_all(left: Histogram | None, gains: Sequence[Histogram]) -> Histogram:
    """A total with several gains of the same bounds, which cost less together."""
    if len(gains) == 1:
        return merged(left, gains[0])
    together = Histogram(
        counts=tuple(map(sum, zip(*(each.counts for each in gains), strict=True))), sum=sum(each.sum for each in gains)
    )
    return merged(left or Histogram(counts=(0,) * len(together.counts), sum=0.0), together)


def merged(left: Histogram | None, right: Histogram) -> Histogram:
    """Two histograms of the same bounds added up."""
    if left is None or len(left.counts) != len(right.counts):
        return right
    return Histogram(counts=added_each(left.counts, right.counts), sum=added_sum(left.sum, right.sum))


def quantile(counts: tuple[int, ...], share: float) -> float | None:
    """The latency in seconds that `share` of a histogram over `STAGE_BOUNDS` stays under; None without any count.

    Linear within a bucket, as Prometheus' histogram_quantile; what is slower than the last bound counts as that bound.
    """
    rank = sum(counts) * share if counts else 0.0
    if rank <= 0:
        return None
    below, total = 0.0, 0
    for bound, count in zip(STAGE_BOUNDS, counts, strict=False):
        if total + count >= rank and count:
            return below + (bound - below) * (rank - total) / count
        below, total = bound, total + count
    return STAGE_BOUNDS[-1]
