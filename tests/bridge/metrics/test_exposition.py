"""`/metrics`: prometheus_client reads it back as it was meant, promtool has nothing to say, offline series end."""

import math
import shutil
import subprocess
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.metrics import exposition
from edge_bridge.metrics.own import BridgeMetrics
from edge_contract.messages import STAGE_BOUNDS, Availability
from tests.bridge.publisher import info, reported, telemetry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _named(samples: Samples, name: str) -> Samples:
    return {key: value for key, value in samples.items() if key[0] == name}


def _fleet(*per_device: str) -> FleetState:
    fleet = FleetState(LimitSettings(), MetricSettings(per_device=per_device))
    for number in (1, 2):
        name = f"cam-{number}"
        fleet.apply(name, Availability(state="online", session=5), 100.0)
        fleet.apply(name, info(name, 5), 100.0)
        fleet.apply(name, reported(name, 5), 100.0)
        fleet.apply(name, telemetry(name, (5, 1), 100 * number), 100.0)
    return fleet


def _text(fleet: FleetState, now: float = 110.0) -> str:
    return exposition.write(list(fleet.devices.values()), fleet.sums, now, 60.0)


def test_every_sample_of_a_device_is_there_with_its_labels() -> None:
    samples = _samples(_text(_fleet()))
    labels = frozenset({("site", "home"), ("device", "cam-2")})
    assert samples["edgewise_up", labels] == 1
    assert samples["edgewise_frames_total", labels] == 200
    assert samples["edgewise_frames_dropped_total", labels] == 20
    assert samples["edgewise_frames_per_second", labels] == 14.9
    emotion = labels | {("model", "emotion-2"), ("emotion", "happy")}
    assert samples["edgewise_classified_faces_total", emotion] == 200


def test_histograms_are_what_a_client_library_writes_for_the_same_counts() -> None:
    fleet = _fleet()

    class Oracle(Collector):
        def collect(self) -> Iterable[HistogramMetricFamily]:
            family = HistogramMetricFamily("edgewise_stage_duration_seconds", "x", labels=["site", "model", "stage"])
            for (site, model), total in fleet.sums.items():
                for stage, histogram in total.stages.items():
                    running, buckets = 0, []
                    for bound, count in zip((*map(str, STAGE_BOUNDS), "+Inf"), histogram.counts, strict=True):
                        running += count
                        buckets.append((bound, running))
                    family.add_metric([site, model, stage], buckets, histogram.sum)
            yield family

    registry = CollectorRegistry()
    registry.register(Oracle())
    wanted = _samples(generate_latest(registry).decode())
    got = {key: value for key, value in _samples(_text(fleet)).items() if "stage_duration" in key[0]}
    assert got == wanted
    assert len(got) == 6 * (len(STAGE_BOUNDS) + 3)


def test_an_offline_device_keeps_up_and_last_seen_and_nothing_else_while_sums_stay() -> None:
    fleet = _fleet()
    before = _samples(_text(fleet))
    fleet.apply("cam-2", Availability(state="offline", session=5), 105.0)
    after = _samples(_text(fleet))
    of_device = {key[0]: value for key, value in after.items() if ("device", "cam-2") in key[1]}
    assert of_device == {"edgewise_up": 0, "edgewise_last_seen_timestamp_seconds": 105.0}
    assert _named(after, "edgewise_stage_duration_seconds_count") == _named(
        before, "edgewise_stage_duration_seconds_count"
    )


def test_a_device_that_stopped_in_order_is_told_from_one_that_was_lost() -> None:
    fleet = _fleet()
    fleet.apply("cam-1", Availability(state="stopped", session=5), 105.0)
    fleet.apply("cam-2", Availability(state="offline", session=5), 105.0)
    samples = _samples(_text(fleet))
    assert set(_named(samples, "edgewise_up").values()) == {0}
    assert [dict(labels)["device"] for _, labels in _named(samples, "edgewise_device_stopped")] == ["cam-1"]


def test_a_silent_device_is_shown_as_not_up() -> None:
    samples = _named(_samples(_text(_fleet(), now=1000.0)), "edgewise_up")
    assert set(samples.values()) == {0}


def test_histograms_of_single_devices_are_shown_only_where_asked_for() -> None:
    shown = _named(_samples(_text(_fleet("cam-1"))), "edgewise_device_stage_duration_seconds_count")
    assert {dict(labels)["device"] for _, labels in shown} == {"cam-1"}
    assert len(_named(_samples(_text(_fleet("all"))), "edgewise_device_stage_duration_seconds_count")) == 12


@given(st.text(max_size=64))
def test_any_label_value_survives_the_way_to_prometheus(label: str) -> None:
    if "\r" in label or any(ord(each) in {0x85, 0x2028, 0x2029, 0xB, 0xC, 0x1C, 0x1D, 0x1E} for each in label):
        return  # the parser of the client library splits lines there, the format does not
    fleet = FleetState(LimitSettings(), MetricSettings())
    fleet.apply("cam", telemetry("cam", (5, 1), 7, emotions={label: 7}), 100.0)
    found = _named(_samples(_text(fleet)), "edgewise_classified_faces_total")
    assert [(dict(labels)["emotion"], value) for (_, labels), value in found.items()] == [(label, 7)]


def test_names_this_bridge_does_not_know_become_labels_not_metrics() -> None:
    fleet = FleetState(LimitSettings(), MetricSettings())
    fleet.apply("cam", telemetry("cam", (5, 1), 7, counters={"oddities": 3}, gauges={"lux": math.pi}), 100.0)
    samples = _samples(_text(fleet))
    labels = {("site", "home"), ("device", "cam")}
    assert samples["edgewise_device_events_total", frozenset(labels | {("event", "oddities")})] == 3
    assert samples["edgewise_device_reading", frozenset(labels | {("reading", "lux")})] == math.pi


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
def test_promtool_finds_nothing_to_say() -> None:
    fleet = _fleet("all")
    fleet.apply("cam-1", telemetry("cam-1", (5, 2), 300, counters={"oddities": 1, "errors": 2}), 101.0)
    own = BridgeMetrics(CollectorRegistry())
    own.messages.labels("telemetry").inc()
    own.refused.labels("malformed").inc()
    text = _text(fleet) + generate_latest(own.registry).decode()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_an_empty_fleet_is_a_valid_exposition() -> None:
    assert _samples(exposition.write([], {}, 0.0, 60.0)) == {}
