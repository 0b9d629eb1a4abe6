"""What travels of a scene: means of what was seen in a window, and tracks counted once, by model."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.events import CountedTrack, FaceLook
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_agent.telemetry.windows import Windows
from edge_contract import limits
from edge_contract.messages import ModelRef, TelemetryBody, TrackCounts, decode, encode
from edge_contract.metrics import DeviceGauge
from edge_vision.quality import Quality

ONE, TWO = (ModelRef(name="m", release=n, digest=f"{n:064x}") for n in (1, 2))


def track(label: str = "happy", confidence: float = 0.55, model: ModelRef = ONE, *, sure: bool = False) -> CountedTrack:
    return CountedTrack(model, label, confidence, sure)


def read(meter: SceneMeter) -> TrackCounts:
    found = meter.tracks()
    assert found is not None
    return found


def total(counts: TrackCounts) -> int:
    return sum(sum(histogram.counts) for histogram in counts.answers.values())


def test_of_an_unseen_scene_nothing_is_sent() -> None:
    meter = SceneMeter()
    assert (meter.gauges(), meter.tracks()) == ({}, None)
    meter.seen(None, None)  # a frame of a file for a model of whole pictures
    assert meter.gauges() == {}


def test_a_window_has_the_means_of_what_was_measured_in_it_and_the_next_begins_empty() -> None:
    meter = SceneMeter()
    meter.picture(Quality(0.2, 0.1, None))
    meter.picture(Quality(0.4, 0.3, 0.5))
    meter.face(FaceLook(Quality(0.5, 0.2, 0.1), 100, -6.0))
    meter.face(FaceLook(Quality(0.7, 0.2, 0.3), 60, None))
    for faces in (0, 1, 2, 0):
        meter.seen(faces, None)
    assert meter.gauges() == {
        DeviceGauge.BRIGHTNESS: pytest.approx(0.3),
        DeviceGauge.CONTRAST: pytest.approx(0.2),
        DeviceGauge.SHARPNESS: 0.5,
        DeviceGauge.FACE_BRIGHTNESS: pytest.approx(0.6),
        DeviceGauge.FACE_CONTRAST: pytest.approx(0.2),
        DeviceGauge.FACE_SHARPNESS: pytest.approx(0.2),
        DeviceGauge.FACE_PIXELS: 80.0,
        DeviceGauge.FACE_ROLL_DEGREES: -6.0,
        DeviceGauge.FACELESS: 0.5,
    }
    assert meter.gauges() == {}


def test_a_frozen_camera_is_told_also_while_no_frame_comes_and_no_longer_once_it_moves() -> None:
    meter = SceneMeter()
    meter.seen(0, 42.0)
    assert meter.gauges()[DeviceGauge.FROZEN_SECONDS] == 42.0
    assert meter.gauges() == {DeviceGauge.FROZEN_SECONDS: 42.0}
    meter.seen(0, 0.0)
    assert meter.gauges()[DeviceGauge.FROZEN_SECONDS] == 0.0


def test_tracks_are_counted_by_label_and_confidence_and_travel_in_a_window() -> None:
    meter = SceneMeter()
    meter.counted(track(confidence=0.1))
    meter.counted(track(confidence=1.0, sure=True))
    meter.counted(track("sad", 0.95, sure=True))
    windows = Windows(Meter(), device="d", site="s", now=0.0)
    body = windows.cut(1.0, ONE, {}, meter.gauges(), None, meter.tracks())
    found = decode(encode(body), TelemetryBody).tracks
    assert found is not None
    assert (found.model, found.sure) == (ONE, 2)
    assert found.answers["happy"].counts == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert found.answers["happy"].sum == pytest.approx(1.1)
    assert found.answers["sad"].counts[-1] == 1


def test_at_a_swap_the_last_tracks_of_the_model_before_travel_first_and_one_that_comes_back_goes_on() -> None:
    meter = SceneMeter()
    meter.counted(track())
    assert total(read(meter)) == 1
    meter.counted(track("sad"))  # its tracks end with it
    meter.counted(track(model=TWO))
    before, after, again = read(meter), read(meter), read(meter)
    assert (before.model, total(before)) == (ONE, 2)
    assert (after.model, total(after)) == (TWO, 1)
    assert again == after
    meter.counted(track())  # rolled back
    assert (read(meter).model, total(read(meter))) == (ONE, 3)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ONE, TWO]), st.booleans()), max_size=60))
def test_whatever_is_read_when_the_counts_of_each_model_never_fall_and_the_last_is_whole(
    events: list[tuple[str, ModelRef, bool]],
) -> None:
    meter, seen = SceneMeter(), {ONE: 0, TWO: 0}
    for label, model, cut in events:
        meter.counted(track(label, 0.5, model))
        if cut and (found := meter.tracks()) is not None:
            assert total(found) >= seen[found.model]
            seen[found.model] = total(found)
    for _ in range(3):
        if (found := meter.tracks()) is not None:
            seen[found.model] = total(found)
    assert list(seen.values()) == [sum(model == each for _, model, _ in events) for each in (ONE, TWO)]


def test_the_counts_of_a_model_of_endlessly_many_labels_still_fit_a_message() -> None:
    meter = SceneMeter()
    for number in range(500):
        meter.counted(track(f"{number:03d}" + "\0" * 61))
    assert len(encode(read(meter))) < limits.MESSAGE_BYTES / 3  # type: ignore[arg-type]  # a part of a message
    for release in range(3, 50):
        meter.counted(track(model=ModelRef(name="m", release=release, digest=f"{release:064x}")))
    assert json.loads(encode(read(meter)))["model"]["release"] > 40  # type: ignore[arg-type]
