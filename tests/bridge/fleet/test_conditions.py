"""What is wrong with a device, over tables; and what is told of it when that changes."""

from typing import Any

import pytest
from msgspec.structs import replace

from edge_bridge.fleet.conditions import Kind, Rule, conditions, span
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.timeline import HOURLY, RECHECK_S, Event, Timeline
from edge_contract.group_status import GroupStatus, RolloutStatus, StageStatus
from edge_contract.messages import STAGE_BOUNDS, ModelRef
from tests.bridge.publisher import MODEL, reported

NOW = 1_000_000.0
RULE = Rule(silent_after=60.0, slow_s=0.25)
OTHER = ModelRef(name="emotion", release=3, digest="cd" * 32)
HEALTHY: dict[str, float] = {"fps": 15.0, "brightness": 0.4, "contrast": 0.2, "frozen_seconds": 0.0, "throttled": 0.0}


def _device(**changed: Any) -> Device:
    fields: dict[str, Any] = {
        "id": "cam", "site": "home", "presence": "online", "session": 5, "last_seen": NOW, "model": MODEL,
        "gauges": HEALTHY, "reported": reported("cam", 5),
    }  # fmt: skip
    return Device(**{**fields, **changed})


def _slow() -> tuple[int, ...]:
    return (*(0 for _ in STAGE_BOUNDS), 10)


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        ({}, []),
        ({"presence": "stopped"}, []),
        ({"presence": "unknown"}, []),
        ({"presence": "offline"}, [Kind.OFFLINE]),
        ({"presence": "offline", "gauges": HEALTHY | {"frozen_seconds": 900.0}}, [Kind.OFFLINE]),
        ({"last_seen": NOW - 61}, [Kind.SILENT]),
        ({"shared": NOW - 5}, [Kind.SHARED]),
        ({"gauges": HEALTHY | {"frozen_seconds": 30.0}}, [Kind.FROZEN]),
        ({"gauges": HEALTHY | {"frozen_seconds": 29.0}}, []),
        ({"gauges": HEALTHY | {"brightness": 0.01, "contrast": 0.0}}, [Kind.BLIND]),
        ({"gauges": HEALTHY | {"contrast": 0.01}}, [Kind.BLIND]),
        ({"gauges": HEALTHY | {"fps": 0.0}}, [Kind.NO_FRAMES]),
        ({"gauges": {}}, []),  # a board that measures nothing is not in trouble
        ({"reported": reported("cam", 5, state="rejected", target=OTHER, reason="too slow.")}, [Kind.REFUSED]),
        ({"reported": reported("cam", 5, state="rolled-back", target=OTHER)}, [Kind.REFUSED]),
        ({"reported": reported("cam", 5, state="downloading", target=OTHER)}, []),
        ({"latency": _slow()}, [Kind.SLOW]),
        ({"gauges": HEALTHY | {"throttled": 5.0}}, [Kind.THROTTLED]),
        ({"gauges": HEALTHY | {"ack_lag_seconds": 301.0}}, [Kind.WAITING]),
        ({"gauges": HEALTHY | {"certificate_expires": NOW - 1}}, [Kind.ENDED]),
        ({"gauges": HEALTHY | {"trust_expires": NOW + 86400}}, [Kind.ENDING]),
        ({"gauges": HEALTHY | {"trust_expires": NOW + 90 * 86400}}, []),
        ({"gauges": HEALTHY | {"certificate_expires": -(2.0**53)}}, [Kind.ENDED]),
        ({"clock": (100.0,) * 5}, [Kind.CLOCK]),
        ({"clock": (-3.0,) * 5}, []),
        ({"restless": NOW - 1}, [Kind.RESTLESS]),
        (
            {"shared": NOW, "latency": _slow(), "gauges": HEALTHY | {"frozen_seconds": 99.0}},
            [Kind.SHARED, Kind.FROZEN, Kind.SLOW],
        ),
    ],
)
def test_what_is_wrong_with_a_device(changed: dict[str, Any], kinds: list[Kind]) -> None:
    found = conditions(_device(**changed), NOW, RULE)
    assert [each.kind for each in found] == kinds
    assert all(each.text and not each.text.endswith(".") for each in found)


def test_a_withdrawn_release_is_named_while_it_runs() -> None:
    assert [each.kind for each in conditions(_device(), NOW, RULE, {MODEL.digest})] == [Kind.WITHDRAWN]
    assert not conditions(_device(), NOW, RULE, {OTHER.digest})


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 seconds"), (600, "10 minutes"), (7200, "2 hours"), (2e5, "2 days")]
)
def test_lengths_of_time_are_said_for_people(seconds: float, said: str) -> None:
    assert span(seconds) == said


def _told(timeline: Timeline, device: Device, now: float, **more: Any) -> list[tuple[str, str]]:
    found = timeline.observe({device.id: device}, more.get("groups", {}), frozenset(), now)
    return [(each.kind, each.state) for each in found]


def test_what_was_so_before_the_start_is_no_event_and_what_changes_is() -> None:
    known = _device()
    timeline = Timeline({"cam": known}, RULE, NOW)
    assert _told(timeline, known, NOW + 1) == []
    frozen = replace(known, gauges=HEALTHY | {"frozen_seconds": 50.0}, last_seen=NOW + 2)
    assert _told(timeline, frozen, NOW + 2) == [("began", "frozen")]
    offline = replace(frozen, presence="offline")
    assert _told(timeline, offline, NOW + 4) == [("presence", "offline")]
    back = replace(offline, presence="online", session=6, gauges=HEALTHY, last_seen=NOW + 6)
    assert _told(timeline, back, NOW + 6) == [("presence", "online"), ("ended", "frozen")]
    rejected = replace(back, reported=reported("cam", 6, state="rejected", target=OTHER, reason="too slow"))
    assert _told(timeline, rejected, NOW + 8) == [("update", "rejected")]
    took = replace(rejected, reported=reported("cam", 6, active=OTHER, target=OTHER))
    assert _told(timeline, took, NOW + 10) == [("model", "emotion-3"), ("update", "committed")]
    assert _told(timeline, replace(took, session=7, last_seen=NOW + 12), NOW + 12) == [("presence", "online")]


def test_a_new_device_is_told_of_with_all_that_it_brings() -> None:
    device = _device(gauges=HEALTHY | {"brightness": 0.0})
    assert _told(Timeline({}, RULE, NOW), device, NOW + 1) == [
        ("presence", "online"), ("update", "committed"), ("began", "blind"),
    ]  # fmt: skip


def test_silence_is_noticed_without_a_message() -> None:
    timeline = Timeline({"cam": _device()}, RULE, NOW)
    assert _told(timeline, _device(), NOW + 59) == []
    device = _device()
    assert _told(timeline, device, NOW + 60) == []
    assert _told(timeline, device, NOW + 62 + RECHECK_S) == [("presence", "silent")]


def test_a_device_that_flaps_is_told_of_so_often_and_then_once_more() -> None:
    timeline, found, device = Timeline({}, RULE, NOW), [], _device()
    for number in range(2 * HOURLY):
        device = replace(device, presence="offline" if number % 2 else "online", last_seen=NOW + number)
        found += timeline.observe({"cam": device}, {}, frozenset(), NOW + number)
    assert len(found) == HOURLY + 1
    assert found[-1].kind == "flaps"
    later = timeline.observe({"cam": replace(device, presence="stopped")}, {}, frozenset(), NOW + 3700)
    assert [each.state for each in later] == ["stopped"]


def test_a_device_that_was_forgotten_begins_anew() -> None:
    timeline = Timeline({"cam": _device()}, RULE, NOW)
    assert timeline.observe({}, {}, frozenset(), NOW + 1) == []
    assert _told(timeline, _device(), NOW + 2)[0] == ("presence", "online")


def _group(**changed: Any) -> GroupStatus:
    fields: dict[str, Any] = {
        "id": "r1", "release": OTHER, "rest": MODEL, "phase": "wave", "position": 0, "started": NOW,
        "stages": (StageStatus(number=1, mode="active", share=0.1, devices=3),),
    }  # fmt: skip
    return GroupStatus(group="shops", desired=MODEL, rollout=RolloutStatus(**{**fields, **changed}), time=NOW)


def test_what_happens_to_a_rollout_is_told_in_sentences() -> None:
    timeline = Timeline({}, RULE, NOW)
    said: list[Event] = []
    for number, status in enumerate(
        (
            _group(), _group(running=2), _group(paused="by ana: looks odd"), _group(),
            _group(phase="halted", reason="2 of 3 failed"),
        )
    ):  # fmt: skip
        said += timeline.observe({}, {"shops": status}, frozenset(), NOW + 2 * number)
    assert [(each.scope, each.name, each.text) for each in said] == [
        ("group", "shops", "r1, emotion-3: runs wave 1 of 10%"),
        ("group", "shops", "r1, emotion-3: paused: by ana: looks odd"),
        ("group", "shops", "r1, emotion-3: goes on"),
        ("group", "shops", "r1, emotion-3: halted: 2 of 3 failed"),
    ]
