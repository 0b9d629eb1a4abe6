"""When a second model may look: in the time before the next frame, or within a small share of all time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.spare_time import SHARE, SpareTime

COST = 0.004


def after_frames(intervals: list[float], cost: float = COST) -> tuple[SpareTime, float]:
    time, captured = SpareTime(cost, 0.0), 0.0
    for interval in intervals:
        captured += interval
        time.frame(captured, interval)
    return time, captured


@pytest.mark.parametrize(
    ("into", "waiting", "allowed"),
    [
        (0.010, False, True),
        (0.022, False, True),
        (0.023, False, False),  # the reserve: a fifth of the 33 ms
        (0.050, False, False),
        (0.010, True, False),  # the next frame came early
    ],
)
def test_a_look_is_allowed_when_it_ends_before_the_next_frame(into: float, waiting: bool, allowed: bool) -> None:
    time, captured = after_frames([1 / 30] * 3)
    time.spent(captured, captured + 1.0, waiting=True)  # nothing is saved
    time, captured = after_frames([1 / 30] * 3)
    time._saved, time._counted = 0.0, captured + into
    assert time.allows(captured + into, waiting=waiting) == allowed


def test_where_frames_wait_until_they_are_taken_there_is_always_time() -> None:
    time = SpareTime(COST, 0.0)
    time.frame(0.0, None)
    assert time.allows(0.0, waiting=True)


def test_after_one_short_interval_the_next_frame_is_expected_early_for_a_while() -> None:
    time, captured = after_frames([1 / 30, 1 / 30, 0.006, 1 / 30])
    time._counted = captured + 0.01
    assert not time.allows(captured + 0.01, waiting=False)
    time, captured = after_frames([1 / 30, 1 / 30, 0.006] + [1 / 30] * 100)
    time._counted = captured + 0.01
    assert time.allows(captured + 0.01, waiting=False)


def test_a_look_that_took_long_makes_the_next_ones_count_as_costly_and_is_forgotten() -> None:
    time, captured = after_frames([1 / 30] * 3)
    time.spent(captured, captured + 0.03, waiting=False)
    assert not time.allows(captured + 0.002, waiting=False)
    for _ in range(200):
        time.spent(captured, captured + 0.001, waiting=False)
    assert time.allows(captured + 0.002, waiting=False)


@given(
    interval=st.floats(0.01, 0.2),
    cost=st.floats(0.001, 0.2),
    others=st.floats(1.0, 3.0),
)
def test_a_board_without_a_moment_to_spare_still_looks_but_within_its_share(
    interval: float, cost: float, others: float
) -> None:
    time, now, spent, looks = SpareTime(cost, 0.0), 0.0, 0.0, 0
    while looks < 20 and now < 40 * (cost / SHARE + others * interval):
        captured, now = now, now + others * interval  # every frame's own work takes longer than the pace
        time.frame(captured, interval)
        if time.allows(now, waiting=True):
            began, now = now, now + cost
            time.spent(began, now, waiting=True)
            spent, looks = spent + cost, looks + 1
    assert looks == 20
    assert spent <= SHARE * now + cost
