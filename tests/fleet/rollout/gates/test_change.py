"""Ratios over stretches, and how much devices changed against those that kept the old release."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fleet.rollout.evidence.stretches import Series
from edge_fleet.rollout.gates.bounds import errors_wide
from edge_fleet.rollout.gates.change import Phases, changed

STRETCHES = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1)), min_size=2, max_size=30)


def series(stretches: list[tuple[float, float]]) -> Series:
    found = Series()
    for weight, value in stretches:
        found = found.added(weight, value)
    return found


@given(STRETCHES)
def test_five_sums_are_the_ratio_estimator_with_clustered_errors(stretches: list[tuple[float, float]]) -> None:
    weights, values = np.array(stretches).T
    mean = values.sum() / weights.sum()
    off = ((values - mean * weights) ** 2).sum()
    found = series(stretches)
    assert found.mean == pytest.approx(mean)
    assert found.scatter == pytest.approx(off, rel=1e-6, abs=1e-9)
    n = len(stretches)
    assert found.variance == pytest.approx(off / weights.sum() ** 2 * n / (n - 1), rel=1e-6, abs=1e-12)


@given(STRETCHES, STRETCHES)
def test_joined_stretches_are_those_of_both(left: list[tuple[float, float]], right: list[tuple[float, float]]) -> None:
    together, apart = series(left + right), series(left).joined(series(right))
    assert apart.stretches == together.stretches
    assert (apart.mean, apart.scatter) == (pytest.approx(together.mean), pytest.approx(together.scatter, abs=1e-9))


@given(STRETCHES, st.floats(0.1, 10))
def test_scaled_weights_leave_the_mean_and_its_error(stretches: list[tuple[float, float]], factor: float) -> None:
    found = series(stretches)
    assert found.scaled(factor).mean == pytest.approx(found.mean)
    assert found.scaled(factor).variance == pytest.approx(found.variance, rel=1e-6, abs=1e-12)


def test_a_stretch_without_weight_is_none() -> None:
    assert series([(0, 5), (2, 1)]) == Series(1, 2, 1, 4, 2, 1)
    assert Series().mean == 0
    assert math.isinf(Series(1, 2, 1, 4, 2, 1).variance)


def rooms(rng: np.random.Generator, count: int, change: float, drift: float, shock: float) -> list[Phases]:
    """Cameras with a mean of their own, which then moves by the change, a drift of theirs and a common shock."""
    found = []
    for number in range(count):
        base, moved = rng.uniform(0.2, 0.6), change + shock + drift * rng.normal()
        sides = []
        for mean, stretches in ((base, 40), (base + moved, 20)):
            weights = rng.uniform(5, 50, stretches)
            sides.append(series([(w, w * v) for w, v in zip(weights, rng.normal(mean, 0.15, stretches), strict=True)]))
        found.append(Phases(f"cam-{number}", *sides))
    return found


@pytest.mark.parametrize(("wave", "controls"), [(4, 16), (10, 10), (16, 4)])
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_the_true_change_lies_within_the_sequence_for_scatter_and_for_drift(
    wave: int, controls: int, drift: float
) -> None:
    rng, outside, risk = np.random.default_rng(1), 0, 0.05
    for _ in range(100):
        shock = rng.normal() * 0.2
        ours = rooms(rng, wave, 0.07, drift, shock)
        found = changed(ours, [*rooms(rng, controls, 0.0, drift, shock)])
        outside += abs(found.value - 0.07) > errors_wide(found.stretches, risk) * found.error
    assert outside <= 100 * risk


def test_the_change_of_a_ratio_is_the_logarithm_of_how_many_times() -> None:
    before, after = series([(10, 0.1)] * 12), series([(10, 0.2)] * 12)
    found = changed([Phases("cam", before, after)], [], ratio=True, least=0.01)
    assert found.value == pytest.approx(math.log(2))
    assert found.error == 0.01


def test_nobody_of_the_wave_says_nothing() -> None:
    assert math.isinf(changed([], []).error)


def test_a_device_that_claims_a_million_times_the_faces_decides_neither_the_change_nor_its_error() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rooms(rng, 9, 0.0, 0.02, 0.0), rooms(rng, 9, 0.0, 0.02, 0.0)
    liar = Phases("liar", *(series([(5e7, 5e7 * share)] * 20) for share in (0.1, 0.9)))
    honest, fooled = changed(ours, theirs), changed([*ours, liar], theirs)
    assert fooled.value < 0.4
    assert fooled.error > honest.error
