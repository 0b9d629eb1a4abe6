"""Bounds that hold at every look: what the counts so far say of a share, of a difference or of a mean.

A rollout is judged all the time, and a test made for one look raises a false alarm sooner or later when repeated. A
confidence sequence is a chain of intervals of which, but for `risk`, *all* hold the true value, however often one looks
and whenever one stops. Each is a mixture (Robbins): the likelihood of the counts averaged over all values, against that
of one value, can pass 1/risk for the true value with a probability of at most `risk`, ever (Ville).

- shares: a beta mixture over binomial counts, and a Dirichlet mixture over three counts for a paired difference. Exact.
- means: a normal mixture over effects with the variance unknown (an anytime-valid t-test). Exact for normal values;
  what it is given here are means of stretches of minutes.

Counts may be fractions: of looks that resemble one another, fewer are believed.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

_PRIOR: Final = 0.5
"""Of each count in the mixtures: as near to the best for shares near 0 as for those near one half."""
_HALVINGS: Final = 30
_SMALLEST: Final = 1e-12


class Interval(NamedTuple):
    """Both ends included."""

    low: float
    high: float


def against_share(successes: float, trials: float, share: float) -> float:
    """Logarithm of the evidence that the true share is not `share`; `log(1/risk)` rejects it."""
    failures = trials - successes
    mixture = math.lgamma(successes + _PRIOR) + math.lgamma(failures + _PRIOR) - math.lgamma(trials + 2 * _PRIOR)
    mixture -= 2 * math.lgamma(_PRIOR) - math.lgamma(2 * _PRIOR)
    return mixture - _weighted_log(successes, share) - _weighted_log(failures, 1 - share)


def share_interval(successes: float, trials: float, risk: float) -> Interval:
    """Confidence sequence for a share, after `trials`."""
    if trials <= 0:
        return Interval(0.0, 1.0)
    return _interval(lambda share: against_share(successes, trials, share), successes / trials, (0.0, 1.0), risk)


def against_difference(more: float, less: float, trials: float, difference: float) -> float:
    """Logarithm of the evidence that the true mean of paired steps is not `difference`.

    Of `trials`, `more` were a step of +1, `less` one of -1 and the rest none; the likelihood is the best that any three
    probabilities with this difference reach.
    """
    counts = (more, less, max(trials - more - less, 0.0))
    mixture = sum(math.lgamma(count + _PRIOR) - math.lgamma(_PRIOR) for count in counts)
    mixture += math.lgamma(3 * _PRIOR) - math.lgamma(sum(counts) + 3 * _PRIOR)
    if difference < 0:
        counts, difference = (counts[1], counts[0], counts[2]), -difference
    up, down, none = counts
    # The probability of a step down that is likeliest, where that of a step up is larger by the difference.
    linear = (up + down) * (1 - difference) - 2 * difference * (down + none)
    root = math.sqrt(linear**2 + 8 * (up + down + none) * down * difference * (1 - difference))
    likeliest = min(max((linear + root) / (4 * (up + down + none)), 0.0), (1 - difference) / 2)
    chances = (likeliest + difference, likeliest, 1 - difference - 2 * likeliest)
    return mixture - sum(_weighted_log(count, chance) for count, chance in zip((up, down, none), chances, strict=True))


def difference_interval(more: float, less: float, trials: float, risk: float) -> Interval:
    """Confidence sequence for the mean of paired steps of +1, -1 or 0, after `trials`."""
    if trials <= 0:
        return Interval(-1.0, 1.0)
    middle = (more - less) / trials
    return _interval(lambda difference: against_difference(more, less, trials, difference), middle, (-1.0, 1.0), risk)


def errors_wide(count: float, risk: float) -> float:
    """How many standard errors a confidence sequence for a mean is wide to each side, after `count` values.

    Infinite while there are too few values to know their variance: below about eight.
    """
    if count < 2:
        return math.inf
    grown = 1 + count  # an effect of one standard deviation is expected before anything is seen
    ratio = math.exp(2 / count * (0.5 * math.log(grown) - math.log(risk)))
    if ratio >= grown:
        return math.inf
    return math.sqrt((count - 1) * (ratio - 1) / (1 - ratio / grown))


def mean_interval(count: float, mean: float, variance: float, risk: float) -> Interval:
    """Confidence sequence for a mean, after `count` values of this mean and sample variance (by count - 1)."""
    wide = errors_wide(count, risk)
    half = wide * math.sqrt(variance / count) if math.isfinite(wide) else math.inf
    return Interval(mean - half, mean + half)


def at_most(failed: int, count: int, confidence: float = 0.95) -> float:
    """The largest share of failures that is still in keeping with `failed` of `count`: Clopper and Pearson, one side.

    For what is printed once, not for what decides at every look. 0 of 10 exclude no share under 26 %.
    """
    if count <= 0 or failed >= count:
        return 1.0
    low, high = failed / count, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most_chance(failed, count, middle) > 1 - confidence else (low, middle)
    return high


def _at_most_chance(failed: int, count: int, share: float) -> float:
    """The chance of no more than `failed` of `count`, where failures have this share; from the largest term down."""
    log_term = (
        math.lgamma(count + 1) - math.lgamma(failed + 1) - math.lgamma(count - failed + 1)
        + _weighted_log(failed, share) + _weighted_log(count - failed, 1 - share)
    )  # fmt: skip
    term = math.exp(log_term)
    total, odds = term, (1 - share) / share
    for number in range(failed, 0, -1):
        term *= odds * number / (count - number + 1)
        total += term
        if term < total * _SMALLEST:
            break
    return min(total, 1.0)


def _interval(against: Callable[[float], float], middle: float, span: tuple[float, float], risk: float) -> Interval:
    """All values that the evidence does not reject; it grows to both sides of `middle`."""
    limit = -math.log(risk)
    ends = []
    for end in span:
        inside, outside = middle, end
        if against(end) < limit:
            ends.append(end)
            continue
        for _ in range(_HALVINGS):
            between = (inside + outside) / 2
            inside, outside = (between, outside) if against(between) < limit else (inside, between)
        ends.append(outside)
    return Interval(*ends)


def _weighted_log(count: float, share: float) -> float:
    if count <= 0:
        return 0.0
    return count * math.log(share) if share > 0 else -math.inf
