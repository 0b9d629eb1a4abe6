"""The doctor: each finding made for real, with its remedy; status, liveness and the example settings beside it."""

import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent import settings_file
from edge_agent.sampling.settings import ConsentSettings, SamplingSettings
from edge_agent.settings import Settings
from edge_agent.system.liveness import SILENT_S, Liveness, trouble
from edge_agent.tools import doctor, status
from edge_contract.errors import EdgewiseError
from edge_simulator.broker import Broker, free_port
from tests.agent.agent_process import FIXTURES, REPOSITORY
from tests.agent.sampling.field import write_public_key
from tests.agent.update.update_bench import ReleaseSide


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A device with a factory model and a folder of one picture as its camera."""
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), np.full((48, 64), 99, np.uint8))
    factory = json.dumps(str(FIXTURES / "tiny-1.ewm"))
    path = tmp_path / "agent.toml"
    path.write_text(
        f"[device]\nid = 'cam-1'\nstate_dir = 'state'\n[model]\nfactory = {factory}\n[source]\nurl = 'pictures'\n"
    )
    return settings_file.load(path, {})


def changed(settings: Settings, section: str, **values: object) -> Settings:
    return replace(settings, **{section: replace(getattr(settings, section), **values)})  # type: ignore[arg-type]


def finding(settings: Settings, check: str) -> doctor.Finding:
    """One check, as `examine` runs it."""
    function: Callable[[Settings], doctor.Finding] = getattr(doctor, check.replace(" ", "_"))
    try:
        return function(settings)
    except EdgewiseError as error:
        return doctor.Finding(check, "failed", error.problem, error.remedy)


def test_a_healthy_device_has_every_check_run_and_none_fail(broker: Broker, settings: Settings) -> None:
    findings = list(doctor.examine(changed(settings, "broker", port=broker.port)))
    assert [found.check for found in findings] == [
        "packages", "model", "camera", "faces", "clock", "disk", "broker", "certificate", "release side", "updates",
        "sampling", "board",
    ]  # fmt: skip
    assert not [found for found in findings if found.outcome == "failed"]
    told = {found.check: found.text for found in findings}
    assert "answers its 8 known inputs rightly" in told["model"]
    assert "64x48" in told["camera"]


def test_a_damaged_model_is_found_by_its_digest(settings: Settings, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ewm"
    data = bytearray((FIXTURES / "tiny-1.ewm").read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    found = finding(changed(settings, "model", factory=damaged), "model")
    assert found.outcome == "failed"


def test_a_problem_with_a_semicolon_in_it_stays_whole_and_no_part_of_it_becomes_the_remedy(
    settings: Settings, tmp_path: Path
) -> None:
    other = tmp_path / "old; do not use.ewm"
    with zipfile.ZipFile(FIXTURES / "tiny-1.ewm") as whole, zipfile.ZipFile(other, "w") as changed_one:
        for entry in whole.infolist():
            data = whole.read(entry)
            changed_one.writestr(entry, data[::-1] if entry.filename == "model.tflite" else data)
    report = doctor.examine(changed(settings, "model", factory=other))
    found = next(one for one in report if one.check == "model")
    assert (found.outcome, found.remedy) == ("failed", "")
    assert found.text == f"the model in {other} does not have the digest its manifest says: refused."


def test_a_camera_that_is_not_there_has_the_errors_own_remedy(settings: Settings) -> None:
    report = doctor.examine(changed(settings, "source", url="/dev/video77"))
    found = next(one for one in report if one.check == "camera")
    assert (found.outcome, found.text) == ("failed", "/dev/video77 is not there")
    assert found.remedy == "plug the camera in, or see `edgewise-agent cameras`"


def test_a_camera_that_hangs_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        traits = replace(doctor.open_source(settings.source).traits, name="a camera")

        def connect(self) -> None:
            threading.Event().wait()

    monkeypatch.setattr(doctor, "open_source", lambda _: Hanging())
    found = finding(changed(settings, "source", open_timeout=0.1, read_timeout=0.1), "camera")
    assert (found.outcome, found.text) == ("failed", "a camera gave no frame within 0.2 s")


def test_a_lens_cap_is_suspected(settings: Settings, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), np.zeros((48, 64), np.uint8))
    assert finding(settings, "camera").outcome == "warning"


def test_an_unreachable_broker_and_one_with_small_packets_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    away = finding(changed(settings, "broker", port=free_port()), "broker")
    assert away.outcome == "failed"
    assert "refused" in away.text
    with Broker(tmp_path / "small", extra="max_packet_size 30000") as broker:
        small = finding(changed(settings, "broker", port=broker.port), "broker")
    assert small.outcome == "failed"
    assert "30,000 bytes at most" in small.text


def test_a_full_or_foreign_disk_fails(settings: Settings, tmp_path: Path) -> None:
    huge = changed(settings, "spool", max_bytes=1 << 60)
    assert "lower spool.max_bytes" in finding(huge, "disk").remedy
    assert finding(settings, "disk").outcome == "ok"


@pytest.mark.parametrize(
    ("name", "days", "outcome"),
    [("cam-1", 300, "ok"), ("cam-1", 5, "warning"), ("cam-1", -1, "failed"), ("cam-2", 300, "failed")],
)
def test_the_certificate_must_name_this_device_and_still_hold(
    settings: Settings, tmp_path: Path, *, name: str, days: int, outcome: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "device.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    assert finding(changed(settings, "broker", tls=True, certificate=path, key=path), "certificate").outcome == outcome


def test_the_release_sides_root_is_read_and_junk_is_refused(settings: Settings, tmp_path: Path) -> None:
    ReleaseSide(tmp_path / "fleet", 1)
    root = next((tmp_path / "fleet").rglob("1.root.json"))
    assert finding(changed(settings, "model", trust_root=root), "release side").outcome == "ok"
    (tmp_path / "junk.json").write_text("{}")
    junk = finding(changed(settings, "model", trust_root=tmp_path / "junk.json"), "release side")
    assert junk.outcome == "failed"


def test_the_command_ends_with_1_when_something_failed_and_prints_a_line_a_check(settings: Settings) -> None:
    config = settings.device.state_dir.parent / "agent.toml"
    config.write_text(config.read_text() + f"[broker]\nport = {free_port()}\n")
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "doctor", "--config", str(config)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 12
    assert re.search(r"^FAILED  broker .* -> check", done.stdout, re.MULTILINE)


def test_status_looks_without_changing_anything(settings: Settings) -> None:
    found = status.read(settings)
    assert (found.device, found.model, found.origin, found.update) == ("cam-1", "tiny 1", "factory", "idle")
    assert "no agent has run" in found.running
    assert not settings.device.state_dir.exists()


def test_only_one_agent_may_have_a_state_directory_and_its_silence_shows(tmp_path: Path) -> None:
    first = Liveness(tmp_path)
    assert trouble(tmp_path, time.time()) == ""
    assert "no sign of it for" in trouble(tmp_path, time.time() + SILENT_S + 1)
    with pytest.raises(EdgewiseError, match="another agent is running"):
        Liveness(tmp_path)
    first.alive("messages cannot be delivered")
    assert trouble(tmp_path, time.time()) == "messages cannot be delivered"
    first.alive()
    assert trouble(tmp_path, time.time()) == ""
    first.alive("updates do not go on")
    first.release()
    assert "no agent is running" in trouble(tmp_path, time.time())
    Liveness(tmp_path).release()


def test_every_key_of_the_example_is_known_and_shows_its_default(tmp_path: Path) -> None:
    """Uncommented, the example is a valid settings file that changes nothing but what depends on the machine."""
    example = (REPOSITORY / "deploy" / "agent.example.toml").read_text()
    full = re.sub(r"^# (?=[a-z_0-9]+ = )", "", example, flags=re.MULTILINE)
    document = tomllib.loads(full)
    for section, key in (("device", "id"), ("device", "state_dir"), ("broker", "username"), ("broker", "ca")):
        del document[section][key]
    for section, key in (("broker", "certificate"), ("broker", "key"), ("model", "trust_root"), ("model", "factory")):
        del document[section][key]
    del document["model"]["face_detector"], document["source"]["ca"]
    del document["sampling"]["key"], document["sampling"]["consent"]
    given = settings_file.from_document(document, tmp_path / "a.toml", {"HOME": "/h"}, hostname="h")
    plain = settings_file.from_document({}, tmp_path / "a.toml", {"HOME": "/h"}, hostname="h")
    assert given == plain
    shown = set(re.findall(r"^(?:# )?([a-z_0-9]+) = ", example, re.MULTILINE))
    hidden = {"password", "face_detector_sha256"}  # a consent's keys are shown too, with an example each
    assert {key.rpartition(".")[2] for key, _ in settings_file._leaves(plain)} == shown | hidden


def test_sampling_is_told_with_its_consent_its_key_and_what_waits(settings: Settings, tmp_path: Path) -> None:
    assert finding(settings, "sampling").text.startswith("off: no consent is stated")
    sampled = SamplingSettings(
        key=write_public_key(tmp_path), consent=ConsentSettings(by="Ada", given=1.0, until=4e9, purpose="x")
    )
    found = finding(replace(settings, sampling=sampled), "sampling")
    assert found.outcome == "ok"
    assert "on the word of Ada" in found.text
    assert "0 waiting" in found.text
    over = replace(sampled, consent=replace(sampled.consent, until=2.0))
    found = finding(replace(settings, sampling=over), "sampling")
    assert (found.outcome, found.text) == ("warning", "off: the consent of Ada ended 1970-01-01 00:00 UTC")
    found = finding(replace(settings, sampling=replace(sampled, key=tmp_path / "none.pub")), "sampling")
    assert (found.outcome, found.remedy) == ("failed", "name the labelling key's .pub file")


def test_status_of_a_damaged_spool_is_zero_not_a_traceback(settings: Settings) -> None:
    settings.device.state_dir.mkdir()
    (settings.device.state_dir / "spool.db").write_bytes(b"junk" * 1000)
    assert status.read(settings).spool_rows == 0
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(settings.device.state_dir / "spool.db").execute("SELECT * FROM message")
