"""The door for notifications: what Alertmanager sends is read, and nothing else harms."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_contract.errors import MessageError
from edge_fleet.loop.alerts import ALERTS, BODY_BYTES, by_hand, is_of, parse

LABELS = {"alertname": "Drift", "device": "cam-1", "site": "hall", "model": "emotion-5", "cause": "dark"}


def body(*alerts: dict[str, Any], version: str = "4") -> bytes:
    """As Alertmanager 0.25 sends it."""
    return json.dumps(
        {
            "receiver": "loop", "status": "firing", "alerts": list(alerts), "groupLabels": {"alertname": "Drift"},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://x:9093", "version": version,
            "groupKey": '{}:{alertname="Drift"}', "truncatedAlerts": 0,
        }
    ).encode()  # fmt: skip


def one(status: str = "firing", fingerprint: str = "0123456789abcdef", **labels: str) -> dict[str, Any]:
    return {
        "status": status, "labels": LABELS | labels, "annotations": {"summary": "A sentence."},
        "startsAt": "2026-11-29T01:02:03.491350438Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://x:9090/graph", "fingerprint": fingerprint,
    }  # fmt: skip


def test_what_alertmanager_sends_is_read() -> None:
    found = parse(body(one(), one("resolved", "fedcba9876543210")), "emotion")
    ((firing,), (resolved,)) = found.firing, found.resolved
    assert (firing.name, firing.device, firing.model, firing.cause) == ("Drift", "cam-1", "emotion-5", "dark")
    assert (firing.fingerprint, firing.starts) == ("0123456789abcdef", 1795914123.49135)
    assert (resolved.fingerprint, found.others) == ("fedcba9876543210", 0)


def test_an_alert_about_many_devices_names_none() -> None:
    sent = one(alertname="FleetDrift")
    sent["labels"] = {"alertname": "FleetDrift", "model": "emotion-5", "severity": "critical"}
    (found,) = parse(body(sent), "emotion").firing
    assert (found.name, found.device, found.cause) == ("FleetDrift", "", "")


def test_without_a_fingerprint_the_labels_name_the_alert() -> None:
    first, again, other = (
        parse(body(one(fingerprint="", **more)), "emotion").firing[0].fingerprint
        for more in ({}, {}, {"device": "cam-2"})
    )
    assert first == again != other


@pytest.mark.parametrize(
    "labels",
    [
        {"model": "emotion-compact-5"}, {"model": "age-5"}, {"model": ""}, {"model": "emotion-"},
        {"device": "Cam/1"}, {"device": "x" * 65}, {"cause": "dark\x1b[2J"}, {"alertname": "a b"},
    ],
)  # fmt: skip
def test_an_alert_of_another_model_or_with_strange_labels_is_left_out(labels: dict[str, str]) -> None:
    found = parse(body(one(**labels), one()), "emotion")
    assert (len(found.firing), found.others) == (1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b'{"version": "4"}', body(version="3"), body(*[one()] * (ALERTS + 1)),
        body(one()) + b" " * BODY_BYTES, b"[" * 100_000, b'{"version": "4", "alerts": [{}]}', b"\xff",
        body(one(status="perhaps")),
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        parse(data, "emotion")


@settings(max_examples=60)
@given(st.data())
def test_any_change_of_a_notification_is_read_or_refused(data: st.DataObject) -> None:
    sent = bytearray(body(one(), one("resolved")))
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse(bytes(sent), "emotion")
    except MessageError:
        return
    assert all(is_of(each.model, "emotion") for each in (*found.firing, *found.resolved))


def test_an_alert_by_hand_is_a_new_one_each_time_and_refused_where_it_can_be_none() -> None:
    first, second = (by_hand("emotion-5", "dark", "cam-1", now) for now in (1.0, 2.0))
    assert first.fingerprint != second.fingerprint
    assert (first.name, by_hand("emotion-5", "fleet", "", 1.0).name) == ("Drift", "FleetDrift")
    with pytest.raises(MessageError):
        by_hand("emotion-5", "dark", "Cam 1", 1.0)
