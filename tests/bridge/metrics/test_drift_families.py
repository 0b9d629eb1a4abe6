"""Drift in `/metrics`: its series, of devices that are up, in both formats."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.watch import Drift, Place
from edge_bridge.metrics.drift import DriftFamilies
from edge_contract.manifest import Reference
from tests.bridge.drift.people import Camera

ROW = (0, 0, 0, 5, 20, 20, 30, 40, 60, 125)
CARD = Reference(by_label={"happy": ROW, "sad": ROW}, right={"happy": ROW, "sad": ROW}, sure_above=0.7)
WHERE = {"site": 'the "lab"', "device": "cam", "model": "emotion-2"}


@pytest.fixture(scope="module")
def drift() -> Drift:
    """A camera that turned unsure, and one that is away."""
    drift = Drift(
        DriftSettings(commission_tracks=100, commission_hours=0), lambda _: CARD, lambda _: Place('the "lab"')
    )
    camera, away = Camera(), Camera("away", 2)
    for _ in range(150):
        drift.observe(camera.window({"happy": 1.0, "sad": 1.0}, {6: 1.0, 9: 3.0}))
        drift.observe(away.window({"happy": 1.0, "sad": 1.0}, {6: 1.0, 9: 3.0}))
    for _ in range(200):
        drift.observe(camera.window({"happy": 1.0, "sad": 1.0}, {2: 1.0}))
    return drift


def test_a_device_that_is_up_shows_its_baseline_evidence_alarms_and_estimates(drift: Drift) -> None:
    text = DriftFamilies(drift).write({"cam"})
    samples = {
        (sample.name, sample.labels.get("reference") or sample.labels.get("method")): sample
        for family in plain_families(text)
        for sample in family.samples
    }
    assert samples["edgewise_drift", "baseline"].labels == {**WHERE, "reference": "baseline", "cause": "unknown"}
    assert samples["edgewise_drift_evidence", "baseline"].value > 1.7
    assert samples["edgewise_drift_effect_ratio", "baseline"].value > 0.5
    assert samples["edgewise_drift_baseline_tracks", None].value >= 100
    assert samples["edgewise_drift_baseline_frozen", None].value == 1
    assert {key[1] for key in samples if key[0] == "edgewise_estimated_accuracy_ratio"} == {"thresholded", "calibrated"}
    assert all(WHERE.items() <= sample.labels.items() for sample in samples.values())


def test_a_device_that_is_not_up_shows_none_and_both_formats_say_the_same(drift: Drift) -> None:
    families = DriftFamilies(drift)
    plain, openmetrics = families.write({"cam"}), families.write({"cam"}, openmetrics=True)
    assert "away" not in plain
    assert [each.samples for each in plain_families(plain)] == [
        each.samples for each in openmetrics_families(openmetrics + "# EOF\n")
    ]
    assert families.write(set()) == ""


def test_figures_follow_the_device(drift: Drift) -> None:
    families = DriftFamilies(drift)
    before = families.write({"cam"})
    drift.relearn("cam")
    drift.take_round(0.0)
    assert before != families.write({"cam"})
    assert "edgewise_drift{" not in families.write({"cam"})
