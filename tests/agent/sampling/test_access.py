"""Crops behind the sample broker's access rules: a device's own, read where labels are collected and nowhere else."""

import shutil
from pathlib import Path

import pytest

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from tests.eventually import eventually

pytest.importorskip("sqlalchemy", reason="the bridge's packages are not installed")

from tests.bridge.test_deploy import FleetBroker

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None, reason="mosquitto is not installed"
)


class Client:
    """A client with a certificate of this name, and what it gets of one topic filter."""

    def __init__(self, broker: FleetBroker, name: str, listens: str) -> None:
        certificate, key = broker.authority.issue(name)
        settings = BrokerSettings(
            port=broker.port, tls=True, ca=broker.authority.certificate, certificate=certificate, key=key
        )
        self.received: list[tuple[str, bytes]] = []
        self.link = Link(settings, name, clean_start=True, jitter=lambda: 0.0)
        self.link.subscribe(listens, lambda topic, payload: self.received.append((topic, payload)))
        self.link.start()
        eventually(lambda: self.link.connected)


def test_a_device_sends_its_own_crops_and_reads_its_own_answers_and_the_bridge_sees_neither(tmp_path: Path) -> None:
    (tmp_path / "mosquitto").mkdir()
    broker = FleetBroker(tmp_path / "mosquitto")
    all_crops, ours = topics.all_devices("crop"), topics.device("cam-1", "crop")
    answer = topics.device("cam-1", "crop-ack")
    clients = [
        device := Client(broker, "cam-1", answer),
        nosy := Client(broker, "cam-2", answer),
        labels := Client(broker, "edgewise-labels", all_crops),
        bridge := Client(broker, "edgewise-bridge", all_crops),
        other := Client(broker, "cam-3", all_crops),
    ]
    try:
        nosy.link.publish(ours, b"forged")
        nosy.link.publish(answer, b"forged")
        device.link.publish(ours, b"sealed")
        eventually(lambda: labels.received)
        labels.link.publish(answer, b"stored")
        eventually(lambda: device.received)
        nosy.link.publish(topics.device("cam-2", "crop"), b"the last")  # behind what was forged, on the same connection
        eventually(lambda: len(labels.received) == 2)
    finally:
        for client in clients:
            client.link.stop()
        broker.stop()
    assert labels.received == [(ours, b"sealed"), (topics.device("cam-2", "crop"), b"the last")]
    assert device.received == [(answer, b"stored")]
    assert nosy.received == bridge.received == other.received == []
