"""Which cause stands behind alerts, and which of them are one case."""

import pytest

from edge_fleet.loop.alerts import Alert, fingerprint_of
from edge_fleet.loop.decide import Labels
from edge_fleet.loop.diagnose import Found, diagnose, named_cause

LESS_RIGHT = {"emotion-5": Labels(counted=200, wanted=200, low=0.5, high=0.6, expected=0.7)}


def alert(name: str = "Drift", device: str = "cam-1", cause: str = "dark", starts: float = 0.0) -> Alert:
    labels = {"name": name, "device": device, "cause": cause}
    return Alert(
        fingerprint=fingerprint_of(labels), name=name, device=device, cause=cause, model="emotion-5", starts=starts
    )


def found(*alerts: Alert, accepted: tuple[tuple[str, str], ...] = ()) -> list[tuple[str, str, tuple[str, ...]]]:
    cases = diagnose(alerts, frozenset(accepted), LESS_RIGHT, 1000.0, 100.0)
    return [(case.cause, case.verdict.decision, case.devices) for case in cases]


@pytest.mark.parametrize(
    ("name", "cause", "meant"),
    [
        ("Drift", "turned", "turned"),
        ("Drift", "fleet", "fleet"),
        ("Drift", "", "unknown"),
        ("Drift", "of-a-newer-bridge", "unknown"),
        ("Drift", "other", "unknown"),
        ("Drift", "estimate", "unknown"),
        ("FleetDrift", "", "fleet"),
        ("EstimatedAccuracyLow", "", "estimate"),
        ("DeviceDown", "dark", "other"),
    ],
)
def test_what_an_alert_says_by_itself(name: str, cause: str, meant: str) -> None:
    assert named_cause(alert(name, cause=cause)) == meant


def test_many_devices_with_one_cause_are_one_case() -> None:
    assert found(*(alert(device=f"cam-{number}") for number in (3, 1, 2))) == [
        ("dark", "tell", ("cam-1", "cam-2", "cam-3"))
    ]


def test_a_turned_camera_explains_whatever_else_fires_on_it_and_is_not_trained_for() -> None:
    turned = alert(cause="turned")
    low = alert("EstimatedAccuracyLow", cause="")
    assert found(turned, low, alert(cause="answers")) == [("turned", "tell", ("cam-1",))]
    assert found(low) == [("estimate", "retrain-labelled", ("cam-1",))]
    assert found(low, alert(device="cam-2", cause="turned")) == [
        ("turned", "tell", ("cam-2",)),
        ("estimate", "retrain-labelled", ("cam-1",)),
    ]


def test_what_is_accepted_holds_for_its_device_and_cause_or_for_every_device() -> None:
    dark = [alert(device=f"cam-{number}") for number in (1, 2)]
    assert found(*dark, accepted=(("cam-2", "dark"), ("cam-1", "bright"))) == [
        ("dark", "tell", ("cam-1",)),
        ("dark", "retrain-augmented", ("cam-2",)),
    ]
    assert found(*dark, accepted=(("all", "dark"),)) == [("dark", "retrain-augmented", ("cam-1", "cam-2"))]


def test_what_is_accepted_has_to_last() -> None:
    assert found(alert(starts=901.0), accepted=(("cam-1", "dark"),)) == [("dark", "ignore", ("cam-1",))]
    assert found(alert(starts=900.0), accepted=(("cam-1", "dark"),)) == [("dark", "retrain-augmented", ("cam-1",))]


def test_an_alert_that_is_not_about_answers_is_not_explained_by_one_that_is() -> None:
    assert found(alert(), alert("DeviceDown", cause="")) == [
        ("dark", "tell", ("cam-1",)),
        ("other", "ignore", ("cam-1",)),
    ]


def test_a_case_knows_whether_it_trains() -> None:
    (case,) = diagnose([alert()], frozenset({("cam-1", "dark")}), {}, 1000.0, 100.0)
    assert isinstance(case, Found)
    assert case.trains
