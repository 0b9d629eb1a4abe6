"""The whole of `/metrics`: the same samples in both formats, read back by the client library, and its exemplars."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.metrics.expiry import EVERY_S, Expiring
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.metrics.page import Page
from edge_bridge.metrics.text import OPENMETRICS, PLAIN
from edge_contract.group_status import Behind, GroupStatus, RolloutStatus, StageStatus
from edge_contract.loop_status import LoopRun, LoopStatus
from edge_contract.manifest import Accuracy, Lineage, Score
from edge_contract.messages import Availability, ModelRef
from tests.bridge.certificates import Authority
from tests.bridge.fleet.test_tracks import NEXT, compared, tracks
from tests.bridge.publisher import MODEL, info, prediction, reported, telemetry
from tests.bridge.release_side import card, status

PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
NOW = 5000.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(families: Any, text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text)
        for sample in family.samples
        if not sample.name.startswith(("process_", "python_", "edgewise_bridge_exposition"))
    }


def _page(fleet: FleetState, *files: Path) -> Page:
    return Page(fleet, BridgeMetrics(CollectorRegistry()), Expiring(files, lambda: 0.0), 60.0)


def _rollout(**changed: Any) -> GroupStatus:
    stages = (
        StageStatus(number=0, mode="shadow", share=1.0, devices=4),
        StageStatus(number=1, mode="run", share=0.5, devices=2),
    )
    fields = {
        "id": "r-1", "release": NEXT, "rest": MODEL, "phase": "wave", "position": 1, "stages": stages, "running": 2,
        "failed": 1, "silent": 1, "started": 4000.0,
    }  # fmt: skip
    behind = (Behind(device="cam-9", kind="under way", why="w"), Behind(device="cam-8", kind="failed", why="w"))
    return status(rollout=RolloutStatus(**{**fields, **changed}), behind=behind)


def _full_fleet() -> FleetState:
    fleet = FleetState(LimitSettings(), MetricSettings(per_device=("all",)))
    for name in ("cam-1", "cam-2"):
        fleet.apply(name, Availability(state="online", session=5), NOW)
        fleet.apply(name, info(name, 5), NOW)
        fleet.apply(name, reported(name, 5), NOW)
        for sequence in (1, 2, 3):
            said = telemetry(
                name, (5, sequence), 100 * sequence, end=NOW + 90, tracks=tracks(happy=sequence, sad=1, sure=1),
                shadow=compared(10, 8), gauges={"ack_lag_seconds": 0.0, "lux": 3.5},
                counters={"frames": 100 * sequence, 'o"\n': 1},
            )  # fmt: skip
            fleet.apply(name, said, NOW)
    fleet.apply("cam-1", prediction("cam-1", (5, 4), confidence=0.93, latency=0.0041), NOW + 1)
    score = Score(dataset="d", split="test", label_set="l", n=100, accuracy=0.7, low=0.6, high=0.8)
    known = card(
        withdrawn=True,
        accuracy=Accuracy(float=score, int8=score),
        lineage=Lineage(git_commit="c0ffee", dataset='a"b\n'),
    )
    fleet.take_card(MODEL.digest, known)
    fleet.take_group("shops", _rollout())
    fleet.stored(fleet.take_changes())
    return fleet


def test_both_formats_hold_the_same_samples() -> None:
    page = _page(_full_fleet())
    plain, plain_type = page.render("", NOW + 2)
    opened, opened_type = page.render(PROMETHEUS, NOW + 2)
    assert (plain_type, opened_type) == (PLAIN, OPENMETRICS)
    found = _samples(openmetrics_families, opened.decode())
    assert found == _samples(plain_families, plain.decode())
    assert len(found) > 400
    assert opened.endswith(b"\n# EOF\n")
    assert b"EOF" not in plain
    assert b" # {" not in plain


def test_openmetrics_shows_which_model_answered_by_its_digest() -> None:
    text, _ = _page(_full_fleet()).render(PROMETHEUS, NOW + 2)
    found = {
        sample.name: (sample.labels["le"], sample.exemplar)
        for family in openmetrics_families(text.decode())
        for sample in family.samples
        if sample.exemplar
    }
    assert {name: (bound, said.value) for name, (bound, said) in found.items()} == {
        "edgewise_stage_duration_seconds_bucket": ("0.005", 0.0041),
        "edgewise_confidence_ratio_bucket": ("+Inf", 0.93),
        "edgewise_track_confidence_ratio_bucket": ("+Inf", 0.93),
    }
    for _, exemplar in found.values():
        assert (exemplar.labels, float(exemplar.timestamp)) == ({"digest": MODEL.digest}, NOW + 1)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain", PLAIN),
        ("text/html,application/xhtml+xml", PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", PLAIN),
        ("application/openmetrics-text;version=x;;;", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("\xff,;=,", PLAIN),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, content_type: str) -> None:
    assert _page(FleetState(LimitSettings(), MetricSettings())).render(accept, NOW)[1] == content_type


def test_tracks_shadow_clock_releases_and_rollouts_have_their_series() -> None:
    found = _samples(plain_families, _page(_full_fleet()).render("", NOW + 2)[0].decode())

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    cam = {"site": "home", "device": "cam-1"}
    assert value("edgewise_tracks_total", **cam, model="emotion-2", label="happy") == 3
    assert value("edgewise_tracks_sure_total", **cam, model="emotion-2") == 1
    assert value("edgewise_track_confidence_ratio_count", site="home", model="emotion-2", label="happy") == 6
    pair = {"champion": "emotion-2", "challenger": "emotion-3"}
    counted = [
        value(f"edgewise_shadow_{each}_total", **cam, **pair) for each in ("looks", "agreed", "failures", "skipped")
    ]
    assert counted == [10, 8, 1, 2]
    assert value("edgewise_clock_skew_seconds", **cam) == 90
    assert value("edgewise_device_on_withdrawn_release", **cam, model="emotion-2") == 1
    origin = {"commit": "c0ffee", "data": 'a"b\n', "withdrawn": "true"}
    assert value("edgewise_release_info", model="emotion-2", digest=MODEL.digest[:12], **origin) == 1
    assert value("edgewise_release_accuracy_ratio", model="emotion-2") == 0.7
    assert value("edgewise_rollout_info", group="shops", release="emotion-3", phase="wave") == 1
    assert value("edgewise_rollout_stage", group="shops") == 1
    assert value("edgewise_rollout_paused", group="shops") == 0
    states = {
        each: value("edgewise_rollout_devices", group="shops", state=each)
        for each in ("running", "failed", "silent", "offline")
    }
    assert states == {"running": 2, "failed": 1, "silent": 1, "offline": 0}
    assert value("edgewise_rollout_started_timestamp_seconds", group="shops") == 4000
    assert not [name for name, _ in found if name == "edgewise_rollout_ended_timestamp_seconds"]
    behind = {
        kind: value("edgewise_group_behind_devices", group="shops", kind=kind)
        for kind in ("offline", "under way", "failed", "silent", "waits")
    }
    assert behind == {"offline": 0, "under way": 1, "failed": 1, "silent": 0, "waits": 0}
    assert value("edgewise_group_status_timestamp_seconds", group="shops") == 1


@pytest.mark.parametrize(("accept", "families"), [("", plain_families), (PROMETHEUS, openmetrics_families)])
def test_loops_are_gauges_by_model(accept: str, families: Any) -> None:
    fleet = FleetState(LimitSettings(), MetricSettings())
    ended = tuple(LoopRun(id=f"r-{n}", alert="Drift", phase="told", began=1.0) for n in range(2))
    training = LoopRun(id="r-3", alert="Drift", phase="training", began=1.0)
    fleet.take_loop("emotion", LoopStatus(model="emotion", current=training, recent=ended, budget_left=1, time=7.0))
    fleet.take_loop("age", LoopStatus(model="age", paused="maria", waits_until=9.0, time=8.0))
    found = {
        (name, *(value for _, value in sorted(labels))): value
        for (name, labels), value in _samples(families, _page(fleet).render(accept, NOW)[0].decode()).items()
    }
    phases = {key[2] for key, value in found.items() if key[:2] == ("edgewise_loop_phase", "emotion") and value}
    assert phases == {"training"}
    assert found["edgewise_loop_phase", "age", "training"] == 0
    assert (found["edgewise_loop_runs", "emotion", "told"], found["edgewise_loop_runs", "emotion", "refused"]) == (2, 0)
    assert (found["edgewise_loop_budget_left", "emotion"], found["edgewise_loop_budget_left", "age"]) == (1, 0)
    assert (found["edgewise_loop_paused", "emotion"], found["edgewise_loop_paused", "age"]) == (0, 1)
    assert found["edgewise_loop_waits_until_timestamp_seconds", "age"] == 9
    assert ("edgewise_loop_waits_until_timestamp_seconds", "emotion") not in found
    assert found["edgewise_loop_status_timestamp_seconds", "emotion"] == 7


def test_a_counter_is_shown_once_it_is_stored_and_a_gauge_at_once() -> None:
    fleet = _full_fleet()
    page = _page(fleet)
    fleet.apply("cam-1", telemetry("cam-1", (5, 5), 900, counters={"frames": 50}, gauges={"fps": 3.5}), NOW + 2)

    def shown() -> tuple[float, float, float]:
        found = _samples(plain_families, page.render("", NOW + 2)[0].decode())
        cam = frozenset({("site", "home"), ("device", "cam-1")})
        whole = frozenset({("site", "home"), ("model", "emotion-2"), ("stage", "whole")})
        count = found["edgewise_stage_duration_seconds_count", whole]
        return found["edgewise_frames_total", cam], count, found["edgewise_frames_per_second", cam]

    before = shown()
    assert before == (300, 600, 3.5)
    changes = fleet.take_changes()
    fleet.put_back(changes)  # the database refused
    assert shown() == before
    fleet.stored(fleet.take_changes())
    assert shown() == (350, 1200, 3.5)


def test_two_releases_of_one_name_are_one_series_and_an_ended_rollout_says_when() -> None:
    fleet = FleetState(LimitSettings(), MetricSettings())
    again = ModelRef(name=MODEL.name, release=MODEL.release, digest="ef" * 32)
    fleet.take_card(MODEL.digest, card(time=1.0))
    fleet.take_card(again.digest, card(again, time=2.0))
    fleet.take_group("shops", _rollout(phase="halted", ended=4500.0, position=9, paused="by anna"))
    text = _page(fleet).render("", NOW)[0].decode()
    assert text.count("edgewise_release_info{") == 1
    assert 'digest="efefefefefef"' in text
    found = {name: value for (name, _), value in _samples(plain_families, text).items()}
    assert (found["edgewise_rollout_ended_timestamp_seconds"], found["edgewise_rollout_paused"]) == (4500.0, 1)
    assert found["edgewise_rollout_stage"] == 1


def _revocations(folder: Path, until: datetime.datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "it")]))
        .last_update(until - datetime.timedelta(days=9))
        .next_update(until)
        .sign(key, hashes.SHA256())
    )
    (folder / "crl.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "crl.pem"


def test_files_say_when_the_first_of_what_is_in_them_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    until = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    crl = _revocations(tmp_path, until)
    certificate, key = Authority(tmp_path / "ca").issue("server")
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes() + crl.read_bytes())
    missing, now = tmp_path / "missing.crt", 0.0
    expiring = Expiring((crl, certificate, missing), lambda: now)
    found = _samples(plain_families, expiring.write())

    def end(name: str) -> float:
        return found["edgewise_bridge_file_expires_timestamp_seconds", frozenset({("file", name)})]

    assert end("crl.pem") == until.timestamp()
    days = (end("server.crt") - datetime.datetime.now(datetime.UTC).timestamp()) / 86400
    assert days == pytest.approx(30, abs=0.1)
    assert found["edgewise_bridge_file_unreadable", frozenset({("file", "missing.crt")})] == 1
    assert (len(found), len(expiring.complaints), len(caplog.records)) == (5, 1, 1)
    crl.write_bytes(crl.read_bytes().replace(b"M", b"N"))
    assert len(expiring.complaints) == 1  # as it was a moment ago
    now = EVERY_S
    assert [("crl.pem" in each, "missing.crt" in each) for each in expiring.complaints] == [
        (True, False),
        (False, True),
    ]
    assert len(caplog.records) == 2  # what was said is not said again
    assert "mend it" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"])
def test_a_file_in_which_no_end_is_found_is_counted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pem").write_bytes(content)
    text = Expiring((tmp_path / "x.pem",), lambda: 0.0).write()
    assert 'edgewise_bridge_file_unreadable{file="x.pem"} 1' in text
    assert "edgewise_bridge_file_expires" not in text
