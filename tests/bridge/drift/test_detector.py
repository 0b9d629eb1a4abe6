"""The e-detector: no evidence grows by chance within the null, and a change is found late as early."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bridge.drift.correlation import Correlation, measured
from edge_bridge.drift.detector import ALTERNATIVES, GROWS, NOTHING, RARE, advanced, summed


@given(low=st.floats(0, 1), width=st.floats(0, 0.5), inside=st.floats(0, 1))
def test_one_independent_track_adds_nothing_on_average_while_the_share_lies_within_the_null(
    low: float, width: float, inside: float
) -> None:
    high = min(1.0, low + width)
    truth = low + inside * (high - low)
    ratios = []
    for share in (1.0, 0.0):
        logs = [0.0] * ALTERNATIVES
        advanced(logs, 0, share, 1.0, (low, high), NOTHING, 50.0)
        ratios.append([math.exp(each) for each in logs])
    for alternative, (hit, miss) in enumerate(zip(*ratios, strict=True)):
        if alternative < len(GROWS) and high > 0.99:
            continue  # there is nowhere to grow to
        assert truth * hit + (1 - truth) * miss <= 1 + 1e-6


@given(shares=st.lists(st.floats(0, 1), max_size=30))
def test_tracks_that_are_all_alike_count_as_one(shares: list[float]) -> None:
    """A block worth one track adds at most what its tracks add on average, whatever they have in common."""
    logs, single = [0.0] * ALTERNATIVES, [0.0] * ALTERNATIVES
    for share in shares:
        advanced(logs, 0, share, Correlation(within=1.0).worth(7), (0.2, 0.3), NOTHING, 50.0)
        advanced(single, 0, share, 1.0, (0.2, 0.3), NOTHING, 50.0)
    assert logs == single


def test_the_sum_over_starts_is_the_time_that_passed_while_nothing_changes() -> None:
    rng, months, sums = random.Random(3), 1.0, []  # noqa: S311
    for _ in range(300):
        logs = [NOTHING] * ALTERNATIVES
        for _ in range(60):
            start = math.log(months / 60 / ALTERNATIVES)
            advanced(logs, 0, float(rng.random() < 0.3), 1.0, (0.3, 0.3), start, 50.0)
        sums.append(math.exp(summed(logs)))
    assert sum(sums) / len(sums) == pytest.approx(months, rel=0.5)


def test_a_change_after_months_of_health_is_found_as_soon_as_on_the_first_day() -> None:
    def found_after(healthy: int) -> int:
        rng, logs, start = random.Random(5), [NOTHING] * ALTERNATIVES, math.log(1e-4)  # noqa: S311
        for _ in range(healthy):
            advanced(logs, 0, float(rng.random() < 0.3), 1.0, (0.25, 0.35), start, 8.0)
        for number in range(1000):
            if summed(logs) > 5:
                return number
            advanced(logs, 0, float(rng.random() < 0.6), 1.0, (0.25, 0.35), start, 8.0)
        return 1000

    first, later = found_after(10), found_after(20_000)
    assert later < 2 * first + 20


def test_a_share_that_was_hardly_ever_seen_may_be_seen_in_a_few() -> None:
    logs = [NOTHING] * ALTERNATIVES
    for _ in range(200):
        advanced(logs, 0, RARE, 5.0, (0.0, 0.001), math.log(1e-4), 50.0)
    assert summed(logs) < 0


def test_resemblance_of_tracks_is_measured_by_pairs_that_are_alike_beyond_chance() -> None:
    alone = measured(alike=5_000, chance=5_000, pairs=20_000, alike_next=5_000, chance_next=5_000, next_pairs=20_000)
    sticky = measured(alike=12_500, chance=5_000, pairs=20_000, alike_next=8_000, chance_next=5_000, next_pairs=20_000)
    assert alone.within < 0.05
    assert sticky.within == pytest.approx(0.5, abs=0.02)
    assert sticky.next_to == pytest.approx(0.2)
    assert alone.worth(10) > 6
    assert sticky.worth(10) < 2
    assert sticky.worth(1) < 1
