"""Bounds that hold at every look: against known values, against scipy, and by drawing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import beta, betabinom, binom, t

from edge_fleet.rollout.gates.bounds import (
    against_difference,
    against_share,
    at_most,
    difference_interval,
    errors_wide,
    mean_interval,
    share_interval,
)

RISK = 0.05


@pytest.mark.parametrize(("failed", "count"), [(0, 1), (0, 10), (1, 10), (3, 10), (9, 10), (7, 10_000), (5000, 10_000)])
def test_what_is_printed_of_failures_is_clopper_and_pearson_s_bound(failed: int, count: int) -> None:
    assert at_most(failed, count) == pytest.approx(beta.ppf(0.95, failed + 1, count - failed), abs=1e-6)


def test_no_failure_of_ten_excludes_no_share_under_26_percent_and_of_59_none_under_five() -> None:
    assert at_most(0, 10) == pytest.approx(0.2589, abs=1e-4)
    assert at_most(0, 58) > 0.05 > at_most(0, 59)


@pytest.mark.parametrize(("failed", "count"), [(0, 0), (10, 10), (1, 1)])
def test_nothing_is_excluded_where_all_failed_or_nothing_was_tried(failed: int, count: int) -> None:
    assert at_most(failed, count) == 1.0


@pytest.mark.parametrize(
    ("successes", "trials", "share"), [(0, 1, 0.3), (3, 10, 0.5), (186, 200, 0.85), (10, 10, 0.99)]
)
def test_evidence_about_a_share_is_the_mixture_s_likelihood_ratio(successes: int, trials: int, share: float) -> None:
    expected = betabinom.logpmf(successes, trials, 0.5, 0.5) - binom.logpmf(successes, trials, share)
    assert against_share(successes, trials, share) == pytest.approx(expected, abs=1e-8)


@given(st.integers(0, 500), st.integers(0, 500), st.floats(1e-6, 0.5))
def test_a_share_lies_within_its_own_interval_and_more_certainty_makes_it_wider(
    hits: int, misses: int, risk: float
) -> None:
    low, high = share_interval(hits, hits + misses, risk)
    share = hits / (hits + misses) if hits + misses else 0.5
    assert 0 <= low <= share <= high <= 1
    wider = share_interval(hits, hits + misses, risk / 10)
    assert wider.low <= low + 1e-6
    assert wider.high >= high - 1e-6


@pytest.mark.parametrize(
    ("more", "less", "none", "difference"), [(3, 1, 20, 0.0), (0, 0, 50, 0.05), (9, 2, 40, -0.1), (5, 0, 5, 0.3)]
)
def test_evidence_about_a_difference_is_that_of_the_likeliest_probabilities(
    more: int, less: int, none: int, difference: float
) -> None:
    def likelihood(down: float) -> float:
        chances = np.array([down + difference, down, 1 - difference - 2 * down])
        return -float(np.sum(np.array([more, less, none]) * np.log(np.maximum(chances, 1e-300))))

    best = minimize_scalar(likelihood, bounds=(max(0.0, -difference), (1 - difference) / 2), method="bounded")
    least = min(best.fun, likelihood(max(0.0, -difference)))
    counts = np.array([more, less, none])
    marginal = sum(math.lgamma(c + 0.5) - math.lgamma(0.5) for c in counts)
    marginal += math.lgamma(1.5) - math.lgamma(counts.sum() + 1.5)
    found = against_difference(more, less, more + less + none, difference)
    assert found == pytest.approx(marginal + least, abs=1e-3)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_difference_lies_within_its_interval_and_turns_around_with_it(more: int, less: int, none: int) -> None:
    trials = more + less + none
    low, high = difference_interval(more, less, trials, RISK)
    assert -1 <= low <= (more - less) / max(trials, 1) <= high <= 1
    assert difference_interval(less, more, trials, RISK) == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize("count", [12, 50, 400])
def test_evidence_about_a_mean_is_the_t_test_s_bayes_factor_over_effects_of_unit_variance(count: int) -> None:
    wide = errors_wide(count, RISK)

    def likelihood(effect: float) -> float:
        return float(np.exp(-(effect**2) / 2) / math.sqrt(2 * math.pi)) * float(
            _noncentral(wide, count - 1, effect * math.sqrt(count))
        )

    factor = quad(likelihood, -6, 6, points=[0, wide / math.sqrt(count)], limit=200)[0] / t.pdf(wide, count - 1)
    assert factor == pytest.approx(1 / RISK, rel=1e-3)


def _noncentral(value: float, free: int, shift: float) -> float:
    """Density of the noncentral t, by its mixture over the chi distribution: scipy's own loses digits in the tails."""

    def part(scale: float) -> float:
        log_chi = (free - 1) * math.log(scale) - scale**2 / 2 - math.lgamma(free / 2) - (free / 2 - 1) * math.log(2)
        by = scale / math.sqrt(free)
        return by * math.exp(log_chi - (value * by - shift) ** 2 / 2) / math.sqrt(2 * math.pi)

    middle = math.sqrt(free)
    return quad(part, max(1e-9, middle - 9), middle + 9, limit=200)[0]


@pytest.mark.parametrize(("count", "risk"), [(0, RISK), (1, RISK), (2, RISK), (5, 1e-6)])
def test_few_values_bound_no_mean(count: int, risk: float) -> None:
    assert math.isinf(errors_wide(count, risk))
    assert mean_interval(max(count, 1), 0.3, 0.1, risk) == (-math.inf, math.inf)


def test_the_true_share_is_never_left_out_at_any_of_two_thousand_looks_but_for_the_risk() -> None:
    left_out = 0
    rng = np.random.default_rng(1)
    for _ in range(200):
        hits = (rng.random(2000) < 0.1).cumsum()
        left_out += any(against_share(int(hits[n]), n + 1, 0.1) > -math.log(RISK) for n in range(0, 2000, 20))
    assert left_out <= 200 * RISK


def test_the_true_difference_is_never_left_out_at_any_look_but_for_the_risk() -> None:
    left_out = 0
    rng = np.random.default_rng(2)
    for _ in range(200):
        steps = rng.choice((1, -1, 0), 1500, p=(0.10, 0.05, 0.85))
        more, less = (steps == 1).cumsum(), (steps == -1).cumsum()
        left_out += any(
            against_difference(int(more[n]), int(less[n]), n + 1, 0.05) > -math.log(RISK) for n in range(0, 1500, 20)
        )
    assert left_out <= 200 * RISK


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_true_mean_is_never_left_out_at_any_look_but_for_the_risk(scale: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(2.0, scale, (2000, 300))
    counts = np.arange(1, 301)
    means = values.cumsum(axis=1) / counts
    variances = ((values**2).cumsum(axis=1) - counts * means**2) / np.maximum(counts - 1, 1)
    wide = np.array([errors_wide(int(n), RISK) for n in counts])
    left_out = (abs(means - 2.0) > wide * np.sqrt(np.maximum(variances, 1e-12) / counts))[:, 1:].any(axis=1)
    assert left_out.mean() <= RISK
    assert left_out.mean() > 0  # it is no wider than it must be


def test_a_test_made_for_one_look_leaves_the_true_share_out_far_more_often() -> None:
    rng = np.random.default_rng(1)
    hits = (rng.random((200, 2000)) < 0.1).cumsum(axis=1)
    counts = np.arange(1, 2001)
    share = hits / counts
    out = abs(share - 0.1) > 1.96 * np.sqrt(np.maximum(share * (1 - share), 1e-4) / counts)
    assert out[:, 19::20].any(axis=1).mean() > 5 * RISK
