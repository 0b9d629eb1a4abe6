"""The whole agent on emulated 64-bit Arm: a release's self-test, Arm instructions by stage, a clip end to end.

Minutes of emulation, so only `make test-arm64` runs them; `test_starts` is what every run of the suite does. Clip,
broker and subscriber are real, the latter two on the host.
"""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from demo import clip as clip_of_a_face
from deploy.arm64.processors import CORTEX_A72, CORTEX_A76
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import messages, topics
from edge_contract.messages import Availability, Info, Prediction, Telemetry
from edge_contract.package import read_file
from edge_simulator.broker import Broker
from tests.arm64.conftest import Counts
from tests.arm64.emulated import REPOSITORY, SHIPPED, EmulatedDevice

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHAMPION: Final = SHIPPED[-1]
CLIP_SECONDS: Final = 1.5


@dataclass(frozen=True)
class Scene:
    """What a device looks at, and what it finds faces with."""

    clip: Path
    detector: Path | None
    """YuNet's file where there is one; Haar is what the agent takes otherwise."""


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A moving real face, 30 frames a second."""
    pytest.importorskip("skimage", reason="scikit-image, which carries the portrait, is not installed")
    clip = tmp_path_factory.mktemp("clip") / "face.avi"
    clip_of_a_face.render(clip, CLIP_SECONDS)
    name = "face_detection_yunet_2023mar.onnx"
    places = (REPOSITORY / "data" / name, REPOSITORY.parent / "shared" / "data" / name)
    return Scene(clip, next((path for path in places if path.is_file()), None))


def test_the_self_test_of_a_release_passes_in_its_child_process(device: EmulatedDevice) -> None:
    package = device.put(REPOSITORY / "tests" / "fixtures" / "tiny-1.ewm")
    said = device.python("-m", "edge_agent", "selftest", "--package", package)
    assert "answers its 8 known inputs rightly here" in said


def test_instructions_of_an_inference_and_of_a_frame_are_counted_by_stage(
    device: EmulatedDevice, scene: Scene, counts: Counts
) -> None:
    program = device.put(REPOSITORY / "deploy" / "arm64" / "count.py")
    count = counts.setdefault((device.processor.name, device.runtime), {"invoke": {}})
    for package in SHIPPED:
        arguments = [program, "--counts", device.COUNTS, "--package", device.put(package)]
        if package == CHAMPION:
            arguments += ["--clip", device.put(scene.clip)]
            arguments += ["--detector", device.put(scene.detector)] if scene.detector is not None else []
        found = json.loads(device.python(*arguments))
        count["invoke"][package.stem] = found.pop("invoke")
        count |= {key: value for key, value in found.items() if key != "model"}
    per_frame = count["per_frame"]
    assert count["faces"] > 0
    assert per_frame["rest"] > 0
    assert per_frame["whole"] > per_frame["capture"] + per_frame["detect"] + per_frame["invoke"]


def test_the_a76_runs_litert_with_its_dot_products(counts: Counts) -> None:
    try:
        a72, a76 = (counts[processor.name, "litert"]["invoke"] for processor in (CORTEX_A72, CORTEX_A76))
    except KeyError:
        pytest.skip("LiteRT was not counted on both processors")
    assert a76[CHAMPION.stem] < 0.6 * a72[CHAMPION.stem]


TESTED = """
import sys
from pathlib import Path
from edge_agent.update.store import StateStore, TestedFactory
from edge_contract import package
from edge_contract.manifest import digest_of, encode
from edge_vision.classifier import runtime

store = StateStore(Path("/tmp/state/state.db"))
with store.transaction():
    manifest = package.read_file(Path(sys.argv[1])).manifest
    store.save_tested_factory(TestedFactory(digest_of(encode(manifest)), runtime()))
store.close()
"""
"""The factory package's self-test is noted as done: it has a test of its own, and would cost minutes here."""


@dataclass
class Received:
    """What a subscriber on the host received of one device."""

    device: EmulatedDevice
    predictions: list[Prediction] = field(default_factory=list)
    windows: list[tuple[Telemetry, int]] = field(default_factory=list)
    """Telemetry, and the device's instructions so far when it arrived."""
    states: list[str] = field(default_factory=list)
    info: Info | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def __call__(self, topic: str, payload: bytes) -> None:
        """One message arrived."""
        match topics.parse(topic):
            case topics.DeviceTopic(leaf="prediction"):
                self.predictions.append(messages.decode(payload, Prediction))
            case topics.DeviceTopic(leaf="telemetry"):
                self.windows.append((messages.decode(payload, Telemetry), self.device.instructions()))
            case topics.DeviceTopic(leaf="info"):
                self.info = messages.decode(payload, Info)
            case topics.DeviceTopic(leaf="availability"):
                self.states.append(messages.decode(payload, Availability).state)
                if self.states[-1] == "stopped":
                    self.stopped.set()


@pytest.fixture
def received(device: EmulatedDevice, broker: Broker) -> Iterator[Received]:
    """A subscriber that is connected before the device starts."""
    received, ready = Received(device), threading.Event()
    watcher = Link(BrokerSettings(port=broker.port), "watcher", clean_start=True, on_connect=ready.set)
    watcher.subscribe(f"{topics.PREFIX}/device/emulated/#", received)
    watcher.start()
    assert ready.wait(20)
    yield received
    watcher.stop()


def test_a_clip_becomes_predictions_and_telemetry_at_a_real_broker(
    device: EmulatedDevice, broker: Broker, received: Received, scene: Scene, counts: Counts
) -> None:
    yunet = f'face_detector = "{device.put(scene.detector)}"' if scene.detector is not None else ""
    settings = device.write(
        "agent.toml",
        f"""
        device = {{ id = "emulated", state_dir = "/tmp/state" }}
        broker = {{ port = {broker.port} }}
        source = {{ url = "{device.put(scene.clip)}", pace = "fast" }}
        telemetry = {{ interval_s = 1.0 }}
        pipeline.consensus.threshold = 0.0
        [model]
        factory = "{device.put(CHAMPION)}"
        {yunet}
        """,
    )
    device.python(device.write("tested.py", TESTED), device.put(CHAMPION))
    agent = device.start("-m", "edge_agent", "run", "--config", settings)
    try:
        output, log = agent.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        agent.send_signal(signal.SIGKILL)
        raise
    assert agent.returncode == 0, log[-3000:]
    assert received.stopped.wait(20), log[-3000:]

    frames = round(CLIP_SECONDS * clip_of_a_face.FRAMES_PER_SECOND)
    summary = json.loads(output.splitlines()[-1])
    assert (summary["frames"] + summary["dropped"], summary["errors"]) == (frames, 0)
    manifest = read_file(CHAMPION).manifest
    assert {prediction.model for prediction in received.predictions} == {manifest.ref}
    assert {prediction.label for prediction in received.predictions} <= set(manifest.labels)
    assert len(received.predictions) == summary["predictions"] > 0
    last = received.windows[-1][0]
    assert last.counters["frames"] + last.counters["drops"] == frames
    assert sum(last.emotions.values()) == sum(last.stages["invoke"].counts) > 0
    assert received.info is not None
    assert received.info.runtime.startswith(device.runtime)
    assert (received.states[0], received.states[-1]) == ("online", "stopped")

    working = [(window, number) for window, number in received.windows if 0 < window.counters["frames"] < frames]
    if len(working) > 1:
        (first, then), (latest, now) = working[0], working[-1]
        seen = latest.counters["frames"] - first.counters["frames"]
        if seen > 0:
            count = counts.setdefault((device.processor.name, device.runtime), {"invoke": {}})
            count["agent_per_frame"] = round((now - then) / seen)
