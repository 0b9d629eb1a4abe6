"""One window further: each track counts once, whatever comes twice, late, anew or damaged."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_bridge.drift.block import TRACKS
from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import DriftState, problem
from edge_bridge.drift.step import References, relearned, step
from edge_bridge.drift.tracks import BUCKETS, LABELS, MOST
from edge_bridge.drift.unsure import ENOUGH
from edge_bridge.drift.week import part_of
from edge_contract.messages import Histogram, ModelRef, Telemetry
from tests.bridge.drift.people import MONDAY, Camera, counts
from tests.bridge.publisher import MODEL, telemetry

SETTINGS = DriftSettings(commission_tracks=100, commission_hours=0.0)
MIX, BUCKET = {"happy": 3.0, "neutral": 5.0}, {6: 1.0, 9: 2.0}


def run(windows: list[Telemetry], state: DriftState | None = None) -> DriftState:
    for each in windows:
        state = step(state, each, References(), SETTINGS)
    assert state is not None
    return state


def tracks(state: DriftState) -> int:
    return state.baseline.tracks + len(state.block.cells)


def test_a_window_without_a_track_counts_nothing() -> None:
    window = Camera().window(MIX, BUCKET)
    state = run([window])
    later = replace(window, sequence=9, end=window.end + 2 * SETTINGS.every_s)
    assert tracks(run([later], state)) == 1
    assert step(None, replace(window, tracks=None), References(), SETTINGS) is None


def test_one_window_a_minute_is_looked_at_and_tracks_of_those_between_count_with_it() -> None:
    camera = Camera()
    windows = [replace(camera.window(MIX, BUCKET), end=MONDAY + 10 * number) for number in range(13)]
    state = run(windows[:1])
    assert step(state, windows[1], References(), SETTINGS) is state
    assert tracks(run(windows)) == 13


def test_windows_are_looked_at_as_often_as_the_setting_says() -> None:
    camera, often = Camera(), DriftSettings(every_s=10.0)
    windows = [replace(camera.window(MIX, BUCKET), end=MONDAY + 5 * number) for number in range(3)]
    first = step(None, windows[0], References(), often)
    assert step(first, windows[1], References(), often) is first
    second = step(first, windows[2], References(), often)
    assert second is not None
    assert tracks(second) == 3


def test_each_track_counts_once_however_windows_come() -> None:
    camera = Camera()
    windows = [camera.window(MIX, BUCKET) for _ in range(60)]
    lost_and_late = [*windows[:20], windows[19], *windows[30:50], windows[25], windows[40], *windows[50:]]
    assert tracks(run(windows)) == tracks(run(lost_and_late)) == 60


def test_a_session_that_begins_counts_from_nothing() -> None:
    first, second = Camera(), Camera(seed=2)
    second.session, second.time = 6, MONDAY + 60 * 300
    windows = [first.window(MIX, BUCKET) for _ in range(30)] + [second.window(MIX, BUCKET) for _ in range(30)]
    assert tracks(run(windows)) == 60


def test_a_bridge_that_was_killed_goes_on_from_the_last_judged_block_and_loses_no_track() -> None:
    camera = Camera()
    windows = [camera.window(MIX, BUCKET) for _ in range(70)]
    state, stored = None, b""
    for each in windows[:50]:
        before, state = state, step(state, each, References(), SETTINGS)
        if state is not None and (before is None or state.judged != before.judged):
            stored = msgspec.json.encode(state)
    again = msgspec.json.decode(stored, type=DriftState)
    assert problem(again) == ""
    assert tracks(again) < 50
    assert tracks(run(windows[50:], again)) == 70


def test_another_model_begins_anew() -> None:
    camera = Camera()
    state = run([camera.window(MIX, BUCKET) for _ in range(120)])
    other = ModelRef(name="emotion", release=3, digest="cd" * 32)
    changed = telemetry("cam", (5, 999), 1, end=camera.time, tracks=counts({"sad": [0] * 9 + [1]}, model=other))
    after = run([changed], state)
    assert (after.model, after.labels, tracks(after), after.baseline.frozen) == (other, ("sad",), 1, 0.0)


def test_hours_that_were_lost_are_where_counting_goes_on_from() -> None:
    lost = telemetry("cam", (5, 1), 1, end=MONDAY, tracks=counts({"happy": [0] * 9 + [MOST + 1]}))
    on = telemetry("cam", (5, 2), 1, end=MONDAY + 100, tracks=counts({"happy": [0] * 9 + [MOST + 3]}))
    assert tracks(run([lost])) == 0
    assert tracks(run([lost, on])) == 2


def test_learning_again_forgets_what_was_learned_and_counts_no_track_twice() -> None:
    camera = Camera()
    windows = [camera.window(MIX, BUCKET) for _ in range(150)]
    state = relearned(run(windows))
    assert (state.baseline.tracks, state.evidence, state.causes) == (0, {}, {})
    assert tracks(run([windows[-1], camera.window(MIX, BUCKET)], state)) == 1


def test_a_baseline_is_frozen_after_so_many_tracks_over_so_many_hours() -> None:
    camera, wanted = Camera(), DriftSettings(commission_tracks=100, commission_hours=24.0)
    state: DriftState | None = None
    frozen_at = 0
    for number in range(400):
        state = step(state, camera.window(MIX, BUCKET), References(), wanted)
        if state is not None and state.baseline.frozen and not frozen_at:
            frozen_at = number
    assert 24 * 12 <= frozen_at <= 24 * 12 + 40
    assert state is not None
    assert state.baseline.tracks >= 100


@pytest.mark.parametrize("wanted", [1, 50, 99])
def test_a_baseline_too_small_to_judge_by_is_refused_as_a_setting(wanted: int) -> None:
    with pytest.raises(msgspec.ValidationError, match="commission_tracks"):
        msgspec.convert({"commission_tracks": wanted}, DriftSettings)


def test_the_smallest_baseline_that_may_be_set_is_judged_by_once_it_is_frozen() -> None:
    assert SETTINGS.commission_tracks == ENOUGH
    camera = Camera()
    state = run([camera.window(MIX, BUCKET) for _ in range(int(ENOUGH) + 3 * TRACKS)])
    assert state.baseline.frozen
    assert state.evidence["baseline"].tracks > 0


@pytest.mark.parametrize(
    ("time", "part"),
    [(MONDAY, 0), (MONDAY + 4 * 3600, 1), (MONDAY + 5 * 86400 - 1, 5), (MONDAY + 5 * 86400, 6), (MONDAY - 1, 11)],
)
def test_hours_of_working_days_and_weekends_are_parts_of_their_own(time: float, part: int) -> None:
    assert part_of(time) == part


ROWS = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 3), min_size=1, max_size=BUCKETS + 2)
ANSWERS = st.dictionaries(st.text(min_size=1, max_size=3), ROWS, max_size=LABELS + 3)


@settings(max_examples=25)
@given(
    sent=st.lists(
        st.tuples(ANSWERS, st.integers(0, 2**63 - 1), st.floats(0, 2**37), st.floats(-(2**53), 2**53)), max_size=6
    )
)
def test_whatever_a_device_sends_leaves_a_record_that_can_be_stored_and_gone_on_from(
    sent: list[tuple[dict[str, list[int]], int, float, float]],
) -> None:
    state: DriftState | None = None
    for number, (answers, sure, time, reading) in enumerate(sent, 1):
        rows = {label: Histogram(counts=tuple(row), sum=0.0) for label, row in answers.items()}
        gauges = dict.fromkeys(("face_brightness", "contrast", "faceless"), reading)
        window = telemetry(
            "cam", (5, number), 1, end=time, gauges=gauges, tracks=counts({}, sure, answers=rows, model=MODEL)
        )
        state = step(state, window, References(), SETTINGS)
        if state is not None:
            assert problem(state) == ""
            assert msgspec.json.decode(msgspec.json.encode(state), type=DriftState) == state


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("a", "a")}, {"labels": tuple(map(str, range(LABELS + 1)))}, {"recent": b"123"},
        {"pictures": b""}, {"recent_sure": math.inf},
    ],
)  # fmt: skip
def test_a_record_that_was_damaged_is_told_from_a_whole_one(change: dict[str, object]) -> None:
    state = run([Camera().window(MIX, BUCKET)])
    assert problem(replace(state, **change))
