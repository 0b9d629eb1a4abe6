"""The whole agent over a real mosquitto, with a consent: crops that only the labelling key opens, and how it ends."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edge_agent.sampling import erasure
from edge_agent.sampling.box import Box
from edge_agent.sampling.sealing import Origin, sealed
from edge_contract.crop import CropName, key_id
from edge_contract.messages import Telemetry
from edge_contract.metrics import DeviceCounter
from edge_contract.package import ModelPackage
from edge_simulator.broker import Broker
from edge_vision.classifier import Classifier
from tests.agent.agent_process import DEVICE, REPOSITORY, AgentProcess, Subscriber, render_clip
from tests.agent.sampling.field import CONSENT, KEY, Labels, nowhere_in, pick, write_public_key
from tests.eventually import eventually

BASE = "loop = true\n[telemetry]\ninterval_s = 1\n"
CROPS = {counter for counter in DeviceCounter if counter.startswith("crops_")}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a real face."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    render_clip(path, 2.0)
    return path


def consent(until: str = "2090-01-01") -> str:
    return (
        f'[sampling]\nkey = "labels.pub"\nshare = 1.0\nuncertain_below = 1.0\nuncertain_share = 1.0\nper_minute = 600\n'
        f'per_hour = 9999\nper_day = 9999\n[sampling.consent]\nby = "Ada"\ngiven = 2020-01-01\nuntil = {until}\n'
        'purpose = "to count smiles"\n'
    )


def asked(agent: AgentProcess, command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", command, "--config", str(agent.config)],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    return done.stdout


def test_from_a_camera_to_the_labelling_key_with_no_pixel_in_the_clear_on_the_way(
    broker: Broker, tmp_path: Path, clip: Path, tiny: ModelPackage
) -> None:
    write_public_key(tmp_path)
    subscriber, labels = Subscriber(broker.port), Labels(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra=BASE + consent()) as agent:
        eventually(lambda: len(labels.crops) >= 4, lambda: agent.log)
        labels.answers = False
        eventually(lambda: subscriber.messages("telemetry", Telemetry)[-1].counters.get("crops_random", 0) >= 3)
        status, doctor = asked(agent, "status"), asked(agent, "doctor")
        ended, _ = agent.stop()
    labels.link.stop()
    subscriber.link.stop()
    broker.stop()
    assert ended == 0, agent.log
    assert "Traceback" not in agent.log
    again, needles = Classifier(tiny.model, tiny.manifest), list[bytes]()
    for crop in labels.crops.values():
        tensor = np.frombuffer(crop.pixels, np.uint8).reshape(tiny.manifest.input.shape)
        answer = dict(zip(tiny.manifest.labels, again.classify(tensor).tolist(), strict=True))
        assert crop.header.champion.probabilities == pytest.approx(answer)
        assert (crop.header.device, crop.header.consent.by) == (DEVICE, "Ada")
        assert 0 < crop.header.inclusion <= 1
        rows = [row.tobytes() for row in tensor[0]]
        needles += [
            row[start : start + 12] for row in rows for start in (0, 12, 24) if len({*row[start : start + 12]}) > 5
        ]
    assert len(needles) > 50
    assert {crop.header.stratum for crop in labels.crops.values()} == {"random", "uncertain"}
    (tmp_path / "clip.avi").unlink(missing_ok=True)
    assert not nowhere_in(needles, tmp_path)()  # the state directory, the log, and what the broker kept
    assert not [topic for topic, payload in subscriber.received if any(needle in payload for needle in needles)]
    counters = subscriber.messages("telemetry", Telemetry)[-1].counters
    assert counters.keys() >= CROPS
    for said in (agent.log, status, doctor):
        assert "on the word of Ada" in said
        assert "2090-01-01" in said
        assert "to count smiles" in said


@pytest.mark.slow
def test_a_consent_that_is_shortened_and_expires_stops_sampling_at_once_and_nothing_else(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    """Nobody answers, so that crops wait on the disk when it ends."""
    write_public_key(tmp_path)
    subscriber, labels = Subscriber(broker.port), Labels(broker.port, answers=False)
    state = tmp_path / "state"
    with AgentProcess(tmp_path, broker.port, clip, extra=BASE + consent()) as agent:
        eventually(lambda: labels.crops and (state / erasure.NAME).exists(), lambda: agent.log)
        until = datetime.fromtimestamp(time.time() + 2, UTC)
        agent.configure(BASE + consent(until.isoformat()))
        agent.signal(signal.SIGHUP)
        eventually(lambda: "it has expired" in agent.log, lambda: agent.log)
        eventually(lambda: not list(state.glob("crops.db*")), lambda: agent.log)
        windows = len(subscriber.messages("telemetry", Telemetry))
        before = len(labels.payloads)
        eventually(lambda: len(subscriber.messages("telemetry", Telemetry)) > windows + 2, lambda: agent.log)
        first, last = (
            subscriber.messages("telemetry", Telemetry)[windows],
            subscriber.messages("telemetry", Telemetry)[-1],
        )
        ended, _ = agent.stop()
    labels.link.stop()
    subscriber.link.stop()
    assert ended == 0, agent.log
    assert all(crop.header.taken < until.timestamp() for crop in labels.crops.values())
    assert last.counters["frames"] > first.counters["frames"]
    assert last.counters["crops_random"] == first.counters["crops_random"]
    assert len(labels.payloads) <= before + 8  # what was on its way
    assert not list(state.glob("crops.db*"))


def test_a_reload_without_the_consent_stops_at_once_and_one_with_it_again_needs_a_restart(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    write_public_key(tmp_path)
    labels, state = Labels(broker.port, answers=False), tmp_path / "state"
    with AgentProcess(tmp_path, broker.port, clip, extra=BASE + consent()) as agent:
        eventually(lambda: labels.crops, lambda: agent.log)
        agent.configure(BASE + "[sampling")
        agent.signal(signal.SIGHUP)
        eventually(lambda: "the settings were not reloaded" in agent.log, lambda: agent.log)
        assert (state / erasure.NAME).exists()  # nothing is known of the consent: nothing is deleted
        agent.configure(BASE)
        agent.signal(signal.SIGHUP)
        eventually(lambda: "it was withdrawn" in agent.log, lambda: agent.log)
        eventually(lambda: not list(state.glob("crops.db*")), lambda: agent.log)
        agent.configure(BASE + consent())
        agent.signal(signal.SIGHUP)
        eventually(lambda: "a restart is needed for sampling.consent.by" in agent.log, lambda: agent.log)
        assert not list(state.glob("crops.db*"))
        ended, _ = agent.stop()
    labels.link.stop()
    assert ended == 0, agent.log
    assert not list(state.glob("crops.db*"))


@pytest.mark.parametrize(
    "settings", ["", pytest.param(consent("2021-01-01"), marks=pytest.mark.slow)], ids=["no consent", "an expired one"]
)
def test_a_start_without_a_consent_in_force_keeps_nothing_and_deletes_what_an_earlier_run_left(
    settings: str, broker: Broker, tmp_path: Path, clip: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    box, name = Box(state, 1 << 20, consent="x", key=key_id(KEY.public_key())), CropName(1, 1)
    box.put(name, "random", "x", sealed(pick(1), name, Origin(DEVICE, "s", 1), CONSENT, KEY.public_key()), 1.0)
    box.close()
    write_public_key(tmp_path)
    labels = Labels(broker.port)
    with AgentProcess(tmp_path, broker.port, clip, extra='pace = "fast"\n' + settings) as agent:
        ended, summary = agent.wait()
    labels.link.stop()
    assert ended == 0, agent.log
    assert summary["predictions"] > 0
    assert labels.payloads == []
    assert not list(state.glob("crops.db*"))
    assert "are deleted: no consent is in force" in agent.log


@pytest.mark.slow
def test_a_labelling_key_that_cannot_be_read_is_refused_at_the_start_by_name(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    with AgentProcess(tmp_path, broker.port, clip, extra='pace = "fast"\n' + consent()) as agent:
        ended, _ = agent.wait()
    assert ended == 2
    assert "labels.pub cannot be read" in agent.log
