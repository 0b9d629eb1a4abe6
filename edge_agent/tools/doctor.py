"""`edgewise-agent doctor`: is this device fit to run? One check a function, one line a check, each with its remedy.

Every check does the thing itself (opens the camera, runs the model, connects) rather than looking for its traces:
broken combinations of numpy and runtime install, import and only fail when a model is run.
"""

import importlib.metadata
import os
import queue
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from edge_agent.camera.open import open_source
from edge_agent.models import selftest
from edge_agent.mqtt import complaint_file
from edge_agent.mqtt.client import CONNECT_S
from edge_agent.mqtt.link import Link
from edge_agent.settings import Settings
from edge_agent.system import liveness
from edge_agent.telemetry.board import Board
from edge_agent.tools import status
from edge_agent.update import hold
from edge_agent.update.store import StateStore
from edge_contract import limits, topics
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError
from edge_contract.metrics import DeviceGauge
from edge_contract.public_url import without_secrets
from edge_contract.throttling import throttling
from edge_mqtt.tls import tls_context

Outcome = Literal["ok", "warning", "failed"]

_BUILT: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
"""A clock before this is wrong: this file is younger."""
_CERTIFICATE_DAYS: Final = 14.0
_HEADER_BYTES: Final = 512  # what topic and MQTT header add to a chunk at most
_USUAL_NAMES: Final = frozenset(
    {"raspberrypi", "localhost", "debian", "ubuntu", "orangepi", "rock", "jetson", "device"}
)
_ROOM: Final = 2 * limits.MODEL_BYTES  # a download beside the model that runs


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    outcome: Outcome
    text: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty when all is well."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run all checks, one after the other; a check that breaks is itself a finding."""
    checks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("packages", packages),
        ("model", model),
        ("camera", camera),
        ("faces", faces),
        ("clock", clock),
        ("disk", disk),
        ("broker", broker),
        ("certificate", certificate),
        ("release side", release_side),
        ("updates", updates),
        ("sampling", sampling),
        ("board", board),
    )
    for name, check in checks:
        try:
            yield check(settings)
        except EdgewiseError as error:
            yield Finding(name, "failed", error.problem, error.remedy)
        except Exception as error:  # noqa: BLE001  # the other checks are still worth running
            text = without_secrets(str(error), [settings.source.url])
            yield Finding(name, "failed", f"{type(error).__name__}: {text}", "report this")


def packages(_settings: Settings) -> Finding:
    """The versions that must fit one another."""
    import cv2  # noqa: PLC0415  # slow to import; the other commands do without
    import numpy as np  # noqa: PLC0415

    from edge_vision.classifier import runtime  # noqa: PLC0415

    found = f"{runtime()}, numpy {np.__version__}, OpenCV {cv2.__version__}"
    if int(cv2.__version__.partition(".")[0]) >= 5:
        return Finding(
            "packages", "failed", found, "pip install 'opencv-python-headless<5': OpenCV 5 has no Haar files"
        )
    old_runtime = runtime().startswith("tflite-runtime")
    if old_runtime and tuple(map(int, cv2.__version__.split(".")[:2])) >= (4, 12):
        remedy = "pip install 'opencv-python-headless<4.12': newer ones want numpy 2, which tflite-runtime cannot take"
        return Finding("packages", "warning", found, remedy)
    return Finding("packages", "ok", f"{found}, paho-mqtt {importlib.metadata.version('paho-mqtt')}")


def model(settings: Settings) -> Finding:
    """Really invoke the model that would run here, in the self-test's child."""
    here = status.model_here(settings)
    if here is None:
        return Finding("model", "warning", "there is no model here yet", "push a release, or set model.factory")
    verdict = selftest.run_unstaged(here)
    found = selftest.in_words(here, verdict)
    return (
        Finding("model", "ok", found) if verdict.passed else Finding("model", "failed", found, "push another release")
    )


def camera(settings: Settings) -> Finding:
    """Open the source and take one frame, from a thread that can be left behind when it hangs."""
    source = open_source(settings.source)
    answers: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            stream = source.connect()
            try:
                if not stream.grab():
                    raise EdgewiseError(f"{source.traits.name} gives no frame", remedy="check the camera or file")
                picture = stream.retrieve(gray=True)
                dark = "; it is black: is the lens covered?" if picture.mean() < 4 else ""
                answers.put(f"{source.traits.name}: {picture.shape[1]}x{picture.shape[0]}{dark}")
            finally:
                stream.close()
        except Exception as error:  # noqa: BLE001  # handed to the waiting thread
            answers.put(error)

    threading.Thread(target=look, daemon=True).start()
    limit = settings.source.open_timeout + settings.source.read_timeout
    try:
        answer = answers.get(timeout=limit)
    except queue.Empty:
        text = f"{source.traits.name} gave no frame within {limit:g} s"
        return Finding("camera", "failed", text, "plug it in again; try another cable or port")
    if isinstance(answer, Exception):
        raise answer
    return Finding("camera", "warning" if "black" in answer else "ok", answer)


def faces(settings: Settings) -> Finding:
    """Load the face detector, its digest checked."""
    from edge_vision.faces import open_detector  # noqa: PLC0415

    detector = open_detector(settings.model.face_detector, settings.model.face_detector_sha256)
    if settings.model.face_detector is None:
        remedy = "run `make face-detector` and set model.face_detector: it finds turned faces, and is faster"
        return Finding("faces", "warning", f"{detector.name}, because no file is configured", remedy)
    return Finding("faces", "ok", detector.name)


def clock(settings: Settings) -> Finding:
    """Signed metadata expires by this device's time."""
    now, path = time.time(), settings.device.state_dir / "state.db"
    known = 0.0
    if path.exists():
        try:
            store = StateStore(path, read_only=True)
            known = store.time().seconds
            store.close()
        except sqlite3.Error:
            known = 0.0  # the disk check says more
    says = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if now < max(_BUILT, known - 86400):
        remedy = "connect it to a network with NTP (timedatectl set-ntp true); until then the last known time is used"
        return Finding("clock", "warning", f"says {says}, which is in the past", remedy)
    return Finding("clock", "ok", says)


def disk(settings: Settings) -> Finding:
    """Write where the state is kept, and see that a model and a full spool would fit."""
    directory = settings.device.state_dir
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest) as file:
            file.write(b"edgewise")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = "set device.state_dir, or run this as the agent's user"
        return Finding("disk", "failed", f"{nearest} cannot be written ({error.strerror})", remedy)
    free = shutil.disk_usage(nearest).free
    need = settings.spool.max_bytes + _ROOM
    text = f"{directory}: {free / 2**20:,.0f} MB free"
    if free < need:
        return Finding("disk", "failed", text, f"free {need / 2**20:,.0f} MB, or lower spool.max_bytes")
    return Finding("disk", "ok", text)


def broker(settings: Settings) -> Finding:
    """Connect as this device; where an agent is running only to the port, for a second session would end its own."""
    where = settings.broker.where
    remedy = "check [broker] in the settings, the network, and the broker"
    how = "over TLS" if settings.broker.tls else "without TLS"
    if not liveness.trouble(settings.device.state_dir, time.time()):
        try:
            _reach(settings)
        except OSError as error:
            return Finding("broker", "failed", f"{where} cannot be reached ({error})", remedy)
        if complaint := complaint_file.read(settings.device.state_dir):
            said, _, what = complaint.rpartition("; ")
            return Finding("broker", "failed", f"the running agent says: {said or what}", what if said else remedy)
        return Finding("broker", "ok", f"{where} {how}, in use by the agent that is running")
    # A session that lasts, as the agent's: where client ids come from certificates this is the agent's own session,
    # and a clean start would empty it.
    link = Link(settings.broker, f"{settings.device.id}-doctor", clean_start=False)
    link.start()
    try:
        deadline = time.monotonic() + CONNECT_S
        while not link.connected:
            if link.trouble or time.monotonic() > deadline:
                text = f"{where} {link.trouble or 'does not answer'}"
                return Finding("broker", "failed", text, link.remedy or remedy)
            time.sleep(0.02)
        largest = link.largest_packet
        # Nothing to anyone: no reader makes anything of an empty `need`. Only an answer shows what the broker permits.
        link.publish(topics.device(settings.device.id, "need"), b"")
    finally:
        link.stop()  # waits for that answer
    if refused := str(link.refusals):
        said, _, what = refused.rpartition("; ")
        return Finding("broker", "failed", said, what)
    if largest is not None and largest < limits.CHUNK_BYTES + _HEADER_BYTES:
        text = (
            f"{where} takes packets of {largest:,} bytes at most, and models travel in chunks of {limits.CHUNK_BYTES:,}"
        )
        return Finding("broker", "failed", text, f"set max_packet_size to {limits.MESSAGE_BYTES:,} or more there")
    if settings.device.id in _USUAL_NAMES:
        text = f"{where} {how}, as {settings.device.id!r}, which every fresh board is called"
        return Finding("broker", "warning", text, "set device.id: two devices of one id end each other's connection")
    limit = "without a packet limit" if largest is None else f"packets up to {largest:,} bytes"
    return Finding("broker", "ok", f"{where} {how}, {limit}")


def _reach(settings: Settings) -> None:
    """A TCP connection, and a TLS handshake where TLS is asked for.

    Raises:
        OSError: it fails (TLS errors are OSErrors too).
    """
    address = (settings.broker.host, settings.broker.port)
    with socket.create_connection(address, timeout=CONNECT_S) as plain:
        if settings.broker.tls:
            with tls_context(settings.broker).wrap_socket(plain, server_hostname=settings.broker.host):
                pass


def certificate(settings: Settings) -> Finding:
    """How long the device's own certificate still holds, and whether it names this device."""
    path = settings.broker.certificate
    if path is None:
        text = "none configured" + ("" if settings.broker.tls else ": nothing is encrypted")
        local = settings.broker.host in {"127.0.0.1", "localhost", "::1"}
        return Finding("certificate", "ok" if local else "warning", text, "" if local else "see deploy/mosquitto")
    from cryptography import x509  # noqa: PLC0415  # only where there is one

    try:
        found = x509.load_pem_x509_certificate(read_file(path, limits.SECRET_BYTES))
    except (OSError, ValueError) as error:
        return Finding("certificate", "failed", f"{path} cannot be read ({error})", "enrol this device again")
    left = (found.not_valid_after_utc.timestamp() - time.time()) / 86400
    names = [str(name.value) for name in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    text = f"{path.name} of {', '.join(names)}, {left:.0f} days left"
    if settings.device.id not in names:
        return Finding("certificate", "failed", text, f"enrol {settings.device.id}, or set device.id to the name in it")
    if left < 0:
        return Finding("certificate", "failed", text, "enrol this device again")
    return Finding("certificate", "warning" if left < _CERTIFICATE_DAYS else "ok", text)


def release_side(settings: Settings) -> Finding:
    """The root metadata that every release is verified from."""
    from tuf.api.metadata import Metadata, Root  # noqa: PLC0415

    path = settings.model.trust_root
    if path is None:
        text = "model.trust_root is not set: no release is ever accepted"
        return Finding("release side", "warning", text, "copy the release side's fleet/root.json here")
    try:
        root = Metadata[Root].from_bytes(read_file(path, limits.METADATA_BYTES))
        root.verify_delegate("root", root)
    except Exception as error:  # noqa: BLE001  # tuf raises several families for a file of another kind
        return Finding("release side", "failed", f"{path} is no root metadata ({error})", "copy it again")
    until = root.signed.expires.strftime("%Y-%m-%d")
    return Finding("release side", "ok", f"root version {root.signed.version}, expires {until}; newer ones replace it")


def updates(settings: Settings) -> Finding:
    """Whether a new model would be run now, or waits for a person or an hour."""
    try:
        held = hold.read(settings.device.state_dir, time.time())
    except EdgewiseError as error:
        return Finding("updates", "warning", error.problem, error.remedy)
    if held is not None:
        return Finding("updates", "warning", f"held {held}", "run `edgewise-agent resume` when new models may run")
    waits = status.waits(settings)
    return Finding("updates", "ok", f"{waits}: new models wait" if waits else "new models are run as they come")


def sampling(settings: Settings) -> Finding:
    """Whether faces are kept for labelling: on whose word, sealed to which key, and how many wait."""
    sampled = settings.sampling
    text = status.sampling(settings)
    if not sampled.consent.stated or sampled.key is None:
        return Finding("sampling", "ok", text)
    if time.time() >= sampled.consent.until:
        return Finding("sampling", "warning", text, "take [sampling.consent] out, or state a new one and restart")
    from edge_contract.crop import key_id, read_public_key  # noqa: PLC0415  # only where crops are sealed

    key = key_id(read_public_key(sampled.key)).hex()
    waiting = status.crops_waiting(settings.device.state_dir)
    return Finding("sampling", "ok", f"{text}; sealed to the key {key}, {waiting} waiting")


def board(_settings: Settings) -> Finding:
    """The board's temperature, and whether it slows itself down."""
    return board_finding(Board())


def board_finding(here: Board) -> Finding:
    """A board that slows itself down, or did so since it was started, is a warning: its frames come late."""
    temperature, firmware = here.gauges().get(DeviceGauge.TEMPERATURE_CELSIUS), throttling(here.throttled() or 0)
    degrees = f", {temperature:.0f} {DeviceGauge.TEMPERATURE_CELSIUS.unit}" if temperature is not None else ""
    text, remedy = here.model() + degrees, "use the power supply made for it, and give it air"
    if firmware.now:
        return Finding("board", "warning", f"{text}, slowed down now by {', '.join(firmware.now)}", remedy)
    if firmware.since_start:
        text += f", at full speed now, slowed down since its start by {', '.join(firmware.since_start)}"
        return Finding("board", "warning", text, remedy)
    return Finding("board", "ok", text)
