"""Face tracks and shadow looks of a device: cumulative over its sessions, each counted once, within limits."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_bridge.fleet.clock_skew import NEEDED, SAMPLES, observed, skew
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.shadow import Pair
from edge_bridge.fleet.state import FleetState, Key, Outcome
from edge_bridge.fleet.tracks import Tracks
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, Histogram, ModelRef, ShadowCounts, TrackCounts
from tests.bridge.publisher import MODEL, histogram, telemetry

NEXT = ModelRef(name="emotion", release=3, digest="cd" * 32)


def tracks(model: ModelRef = MODEL, sure: int = 0, **counts: int) -> TrackCounts:
    """So many tracks by label, all of high confidence."""
    answers = {label: histogram(len(CONFIDENCE_BOUNDS), 9, count, 0.93) for label, count in counts.items()}
    return TrackCounts(model=model, answers=answers, sure=sure)


def compared(looks: int, agreed: int, challenger: ModelRef = NEXT) -> ShadowCounts:
    """Looks at which two models were compared."""
    confidence, latency = histogram(len(CONFIDENCE_BOUNDS), 9, looks), histogram(len(STAGE_BOUNDS), 6, looks)
    return ShadowCounts(
        champion=MODEL, challenger=challenger, looks=looks, agreed=agreed, failures=1, skipped=2, confusion={},
        less_sure=0, more_sure=0, slower=0, champion_confidence=confidence, challenger_confidence=confidence,
        champion_latency=latency, challenger_latency=latency,
    )  # fmt: skip


def _fleet(**limits: int) -> FleetState:
    return FleetState(LimitSettings(**limits), MetricSettings())


def _say(fleet: FleetState, session: int, sequence: int, **changed: Any) -> Outcome:
    return fleet.apply("cam", telemetry("cam", (session, sequence), 10, **changed), 100.0)


def test_tracks_add_up_over_sessions_models_and_repeated_windows() -> None:
    fleet = _fleet()
    _say(fleet, 5, 1, tracks=tracks(happy=3, sure=2))
    _say(fleet, 5, 1, tracks=tracks(happy=3, sure=2))
    _say(fleet, 5, 2, tracks=tracks(happy=4, sad=1, sure=2))
    _say(fleet, 5, 3, tracks=tracks(NEXT, happy=1), model=NEXT)  # it counts anew
    _say(fleet, 6, 4, tracks=tracks(NEXT, happy=2, sure=1), model=NEXT)
    found = fleet.devices["cam"].tracks
    assert found == {"emotion-2": Tracks({"happy": 4, "sad": 1}, 2), "emotion-3": Tracks({"happy": 3}, 1)}
    assert fleet.sums[Key("home", "emotion-2")].tracks["happy"] == histogram(len(CONFIDENCE_BOUNDS), 9, 4, 0.93)
    assert sum(fleet.sums[Key("home", "emotion-3")].tracks["happy"].counts) == 3


def test_a_window_without_tracks_is_of_an_earlier_agent_and_counts_the_rest() -> None:
    fleet = _fleet()
    assert _say(fleet, 5, 1) is Outcome.APPLIED
    assert (fleet.devices["cam"].tracks, fleet.sums[Key("home", "emotion-2")].tracks) == ({}, {})


def test_labels_past_the_limit_count_as_other_in_device_and_sum() -> None:
    fleet = _fleet(emotions=2)
    _say(fleet, 5, 1, tracks=tracks(a=1, b=2, c=3, d=4))
    assert fleet.devices["cam"].tracks["emotion-2"].answers == {"a": 1, "b": 2, "other": 7}
    total = fleet.sums[Key("home", "emotion-2")].tracks
    assert {label: sum(each.counts) for label, each in total.items()} == {"a": 1, "b": 2, "other": 7}
    assert fleet.passed["emotions"] == 2


def test_tracks_of_too_many_groups_share_one() -> None:
    fleet = _fleet(series_groups=1)
    _say(fleet, 5, 1, tracks=tracks(NEXT, happy=3))
    assert {key: sum(each.tracks["happy"].counts) for key, each in fleet.sums.items() if each.tracks} == {
        ("other", "other"): 3
    }
    assert fleet.passed["groups"] == 1


def test_a_histogram_of_another_shape_is_refused_whole() -> None:
    wrong = TrackCounts(model=MODEL, answers={"happy": Histogram(counts=(1, 2), sum=1.0)})
    fleet = _fleet()
    assert _say(fleet, 5, 1, tracks=wrong) is Outcome.REFUSED_SHAPE
    assert fleet.devices == {}


def test_shadow_looks_add_up_by_pair_over_sessions() -> None:
    fleet = _fleet()
    _say(fleet, 5, 1, shadow=compared(10, 8))
    _say(fleet, 5, 2, shadow=compared(15, 12))
    _say(fleet, 5, 3)  # the shadow is over
    _say(fleet, 6, 4, shadow=compared(3, 3))
    _say(fleet, 6, 5, shadow=compared(2, 1, MODEL))
    assert fleet.devices["cam"].shadow == (
        Pair(champion="emotion-2", challenger="emotion-3", looks=18, agreed=15, failures=2, skipped=4),
        Pair(champion="emotion-2", challenger="emotion-2", looks=2, agreed=1, failures=1, skipped=2),
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_what_a_device_counts_is_what_the_bridge_shows_whatever_is_lost_or_repeated(
    windows: list[tuple[int, int, int]],
) -> None:
    """Of each session the last window that came counts; some never come."""
    fleet, happy, sad, last = _fleet(), 0, 0, {}
    for sequence, (lost, more_happy, more_sad) in enumerate(windows, 1):
        session = 1 + sequence // 5
        happy, sad = (0, 0) if session not in last else (happy, sad)
        happy, sad = happy + more_happy, sad + more_sad
        last.setdefault(session, (0, 0))
        if lost:
            continue
        last[session] = (happy, sad)
        for _ in range(2):
            _say(fleet, session, sequence, tracks=tracks(happy=happy, sad=sad))
    counted = [sum(each[index] for each in last.values()) for index in (0, 1)]
    shown = fleet.devices["cam"].tracks.get("emotion-2", Tracks()).answers if fleet.devices else {}
    assert [shown.get(label, 0) for label in ("happy", "sad")] == counted


@pytest.mark.parametrize(
    ("windows", "shown"),
    [
        ([(60.0, 0.0)] * 2, None),  # too few to tell
        ([(60.0, 0.0)] * 3, 60.0),
        ([(-3600.0, 0.0)] * 3, -3600.0),
        ([(0.0, 0.0), (-1.0, 0.0), (-0.2, 0.0)], 0.0),  # the way here only makes it seem behind
        ([(0.0, 0.0), (-600.0, 0.0), (0.0, 0.0)], 0.0),  # one waited before its device knew
        ([(0.0, 0.0), (0.0, 0.0), (-600.0, 590.0)], None),  # they wait: nothing can be told
        ([(0.0, 0.0)] * 5 + [(-30.0, 0.0)] * 5, -30.0),  # it was set back
        ([(0.0, None)] * 5, None),  # the device does not say whether anything waits
    ],
)
def test_a_clock_is_told_only_from_messages_that_come_at_once(
    windows: list[tuple[float, float | None]], shown: float | None
) -> None:
    samples: tuple[float, ...] = ()
    for off, lag in windows:
        gauges = {} if lag is None else {"ack_lag_seconds": lag}
        samples = observed(samples, telemetry("cam", (5, 1), 1, end=5000.0 + off, gauges=gauges), 5000.0)
    assert skew(samples) == shown
    assert len(samples) <= SAMPLES
    assert NEEDED <= SAMPLES


def test_an_agent_that_does_not_tell_its_lag_is_judged_by_how_much_it_holds() -> None:
    at_once = telemetry("cam", (5, 1), 1, end=5060.0, gauges={"spool_rows": 1.0})
    waiting = telemetry("cam", (5, 1), 1, end=5060.0, gauges={"spool_rows": 400.0})
    samples = observed(observed(observed((), at_once, 5000.0), at_once, 5000.0), at_once, 5000.0)
    assert skew(samples) == 60.0
    assert observed(samples, waiting, 5000.0) == ()
