"""How often a model was right in the field, from labelled crops. Pure.

Accuracy comes from the random stratum alone: the others are hard faces on purpose. A device keeps a face with a
probability that changes (its caps, its settings), so each crop counts for one over the probability with which it was
kept (Hajek's estimator): without weights, hours in which much was kept would count too little against those in which
little was. The interval is Wilson's with the number of crops that the weights are worth (Kish).

Two models are compared on the crops that both answered: only where exactly one is right do they differ, and under "both
are equally good" each of those is a toss of a coin (McNemar's exact test). Crops of the strata "random" and
"disagreement" may be used for it, for both are kept whoever is right; "uncertain" depends on one of the two.

Not here: which answer of people counts (`answers`).
"""

from collections.abc import Iterable
from math import exp, fsum, lgamma, log
from typing import NamedTuple

from edge_bridge.intervals import wilson


class Sample(NamedTuple):
    """One labelled crop of the random stratum, and whether a model was right."""

    inclusion: float
    """Above 0, at most 1."""
    right: bool


class Accuracy(NamedTuple):
    """A share of right answers, and between which it is likely (95 %)."""

    share: float
    low: float
    high: float
    crops: int
    effective: float
    """How many crops of equal weight would say as much."""


class Comparison(NamedTuple):
    """Two models on the same crops."""

    both: int
    """Crops on which both are right."""
    neither: int
    first: int
    """Crops on which the first alone is right."""
    second: int
    p: float
    """How likely a split as uneven as this one is, or more, if both are equally good; two-sided."""


def accuracy(samples: Iterable[Sample]) -> Accuracy | None:
    """Weighted by inclusion; None without samples."""
    given = list(samples)
    if not given:
        return None
    # By the smallest inclusion, so that no weight passes 1 and no sum of squares overflows.
    least = min(each.inclusion for each in given)
    weights = [least / each.inclusion for each in given]
    total = fsum(weights)
    share = fsum(weight for weight, each in zip(weights, given, strict=True) if each.right) / total
    effective = total * total / fsum(weight * weight for weight in weights)
    interval = wilson(share * effective, effective)
    assert interval is not None  # noqa: S101  # there is a sample
    return Accuracy(interval.share, interval.low, interval.high, len(given), effective)


def compared(pairs: Iterable[tuple[bool, bool]]) -> Comparison:
    """`pairs`: on each crop whether the first is right, and whether the second is."""
    both = neither = first = second = 0
    for left, right in pairs:
        both += left and right
        neither += not left and not right
        first += left and not right
        second += right and not left
    return Comparison(both, neither, first, second, sign_test(first, second))


def sign_test(first: int, second: int) -> float:
    """Two-sided exact p-value of a split of tosses of a fair coin; 1 without any."""
    n = first + second
    whole = lgamma(n + 1) - n * log(2)
    tail = fsum(exp(whole - lgamma(k + 1) - lgamma(n - k + 1)) for k in range(min(first, second) + 1))
    return min(1.0, 2 * tail)
