"""Every name that a device's telemetry carries is in the contract's table, and every name there is carried by one."""

import json
import typing
from pathlib import Path

import cv2
import numpy as np

from edge_agent.inference.events import FaceLook, PredictionEvent
from edge_agent.mqtt.certificate import CertificateEnd
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.telemetry.board import Board
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_agent.telemetry.windows import Windows
from edge_contract import topics
from edge_contract.messages import ModelRef, PredictionBody, Telemetry, TelemetryBody
from edge_contract.metrics import DeviceCounter, DeviceGauge, ErrorKind
from edge_simulator.broker import Broker
from edge_vision.quality import Quality
from tests.agent.agent_process import DEVICE, FIXTURES, AgentProcess, Subscriber
from tests.agent.sampling.field import write_public_key
from tests.agent.update.update_bench import ReleaseSide
from tests.bridge.certificates import Authority
from tests.eventually import eventually

SAMPLING = """
[sampling]
key = "labels.pub"
[sampling.consent]
by = "Ada"
given = 2020-01-01
until = 2090-01-01
purpose = "to count smiles"
"""
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def of_an_agent(broker: Broker, folder: Path) -> TelemetryBody:
    """The last window of a real agent with a release side that may sample, sent an acknowledgement it cannot read."""
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "1.png"), np.full((48, 64), 99, np.uint8))
    subscriber, side = Subscriber(broker.port), ReleaseSide(folder / "release-side", broker.port)
    (folder / "root.json").write_bytes(side.repository.first_root())
    with side.publisher() as publisher:
        publisher.metadata()
    model = (
        f"factory = {json.dumps(str(FIXTURES / 'tiny-1.ewm'))}\ntrust_root = {json.dumps(str(folder / 'root.json'))}"
    )
    often = "loop = true\n[telemetry]\ninterval_s = 1\n" + SAMPLING
    write_public_key(folder)
    with AgentProcess(folder, broker.port, folder / "pictures", extra=often, model=model) as agent:
        eventually(lambda: subscriber.messages("telemetry", Telemetry), lambda: agent.log)
        subscriber.link.publish(topics.device(DEVICE, "ack"), b"{}")
        eventually(lambda: "errors_ack" in subscriber.messages("telemetry", Telemetry)[-1].counters, lambda: agent.log)
        eventually(lambda: "trust_expires" in subscriber.messages("telemetry", Telemetry)[-1].gauges, lambda: agent.log)
        agent.stop()
    subscriber.link.stop()
    return subscriber.messages("telemetry", Telemetry)[-1]


def of_what_seldom_happens(root: Path) -> TelemetryBody:
    """A window with an error of each kind and a capped prediction, on a board that can be asked for everything."""
    for path, text in {
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        FIRMWARE: "0\n",
        "proc/self/statm": "30000 12000 5000 1 0 9000 0\n",
        "proc/meminfo": "MemAvailable:  512000 kB\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    meter, sent = Meter(), list[PredictionBody]()
    observer = MetricsObserver(
        meter, sent.append, device="d", site="s", per_minute=1, clock=lambda: 1.0, now=lambda: 1.0
    )
    for kind in typing.get_args(ErrorKind):
        observer.error(kind, "failed")
    event = PredictionEvent(
        track=1, label="happy", confidence=0.9, probabilities=(0.1, 0.9), box=(0.0, 0.0, 1.0, 1.0), captured=0.9,
        moment=0.9, model=ModelRef(name="m", release=1, digest="0" * 64),
    )  # fmt: skip
    for _ in range(2):
        observer.prediction(event)
    scene, seen = SceneMeter(), Quality(0.5, 0.2, 0.1)
    scene.seen(0, 0.0)
    scene.picture(seen)
    scene.face(FaceLook(seen, 99, 1.0))
    certificate, key = Authority(root / "authority").issue("d")
    end = CertificateEnd(BrokerSettings(tls=True, certificate=certificate, key=key)).read()
    assert end is not None
    gauges = {**Board(root).gauges(), **scene.gauges(), DeviceGauge.CERTIFICATE_EXPIRES: end}
    return Windows(meter, device="d", site="s", now=0.0).cut(1.0, None, {}, gauges)


def test_what_devices_count_and_measure_is_what_the_table_holds(broker: Broker, tmp_path: Path) -> None:
    windows = [of_an_agent(broker, tmp_path), of_what_seldom_happens(tmp_path / "root")]
    counted = {name for window in windows for name in window.counters}
    measured = {name for window in windows for name in window.gauges}
    assert (counted, measured) == (set(DeviceCounter), set(DeviceGauge)), json.dumps(sorted(counted | measured))
