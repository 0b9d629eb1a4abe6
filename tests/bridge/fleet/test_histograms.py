"""Histograms added up under their bound, and quantiles as Prometheus has them."""

import pytest

from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.totals import added_each
from edge_contract.messages import LARGEST, STAGE_BOUNDS
from tests.bridge.publisher import histogram


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 0.0025), (0.95, STAGE_BOUNDS[5] * 0.95 + STAGE_BOUNDS[4] * 0.05), (1.0, 0.003)]
)
def test_quantile_interpolates_within_a_bucket_as_prometheus_does(share: float, expected: float) -> None:
    assert quantile(histogram(len(STAGE_BOUNDS), 5, 100).counts, share) == pytest.approx(expected)


def test_quantile_without_frames_and_beyond_the_last_bucket() -> None:
    assert quantile((), 0.5) is None
    assert quantile((0,) * (len(STAGE_BOUNDS) + 1), 0.5) is None
    assert quantile(histogram(len(STAGE_BOUNDS), len(STAGE_BOUNDS), 10).counts, 0.5) == STAGE_BOUNDS[-1]


def test_counts_that_pass_the_bound_stay_at_it_and_the_others_add_up() -> None:
    assert added_each((1, 2), (3, 4)) == (4, 6)
    assert added_each((LARGEST, 2), (1, LARGEST - 3)) == (LARGEST, LARGEST - 1)
    assert added_each((), ()) == ()
