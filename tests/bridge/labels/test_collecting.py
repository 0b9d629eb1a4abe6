"""A real bridge beside a real broker with the shipped access rules: crops in, answers out, nothing in the clear."""

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_bridge.labels import reading
from edge_bridge.labels.collection import Collection, session
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.mqtt.settings import BrokerSettings
from edge_contract.crop import seal
from edge_contract.errors import UsageError
from edge_simulator.broker import Broker
from tests.bridge.labels.device import CropDevice
from tests.bridge.labels.faces import PIXELS, crop, key_file, sealed
from tests.bridge.process import REPOSITORY, BridgeProcess

CONFIG = """
[broker]
username = "edgewise-bridge"

[labels]
key = "labelling.pem"
database = "labels.db"
username = "edgewise-labels"
"""


def test_crops_are_collected_over_a_session_of_their_own_and_survive_a_kill(tmp_path: Path) -> None:
    key_file(tmp_path)
    rules = f"acl_file {REPOSITORY / 'deploy' / 'mosquitto' / 'acl'}"
    with Broker(tmp_path / "broker", extra=rules) as broker:
        bridge = BridgeProcess(tmp_path, broker.port, config=CONFIG)
        with bridge, CropDevice(broker.port) as device:
            device.send(b"no crop")
            device.send(seal(crop(sequence=9), X25519PrivateKey.generate().public_key()))
            device.send(sealed(sequence=1))
            device.send(sealed(sequence=2, inclusion=1e-9))
            device.send(sealed(sequence=3))
            answers = sorted(device.wait_for(4))
            assert [each for each in answers if not each[1]] == [(1, ""), (3, "")]
            assert [each[0] for each in answers if "outweigh" in each[1]] == [2]
            assert [each[0] for each in answers if "another key" in each[1]] == [9]
            shown = bridge.wait_for("/metrics", 'edgewise_label_crops{stratum="random"} 2')
            for reason in ("crop", "key", "inclusion"):
                assert f'edgewise_label_crops_refused_total{{reason="{reason}"}} 1' in shown
            bridge.kill()
            device.send(sealed(sequence=1))  # its answer may have been lost
            device.send(sealed(sequence=4))
            before = len(device.answers)
            bridge.start()
            assert sorted(device.wait_for(before + 2)[-2:]) == [(1, ""), (4, "")]
            bridge.wait_for("/metrics", 'edgewise_label_crops{stratum="random"} 3')
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or PIXELS[:64] not in file.read_bytes(), file
    database = LabelDatabase(tmp_path / "labels.db")
    with database.reading() as connection:
        assert [each.sequence for each in reading.every_crop(connection).facts] == [1, 3, 4]
    database.close()


def test_a_bridge_whose_key_others_can_read_does_not_start_and_says_so(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    file.chmod(0o644)
    settings = LabelSettings(key=file, database=tmp_path / "labels.db")
    with pytest.raises(UsageError, match=r"labelling\.pem can be read by others; run: chmod 600"):
        Collection(settings, BrokerSettings(), time.time)
    assert not (tmp_path / "labels.db").exists()


def test_the_collector_shows_the_broker_its_own_name_or_that_of_the_bridge() -> None:
    broker = BrokerSettings(username="edgewise-bridge", password="b")  # noqa: S106  # of this test
    own = session(LabelSettings(username="edgewise-labels", password="l"), broker)  # noqa: S106
    assert (own.client_id, own.username, own.password) == ("edgewise-labels", "edgewise-labels", "l")
    shared = session(LabelSettings(), broker)
    assert (shared.client_id, shared.username, shared.password) == ("edgewise-labels", "edgewise-bridge", "b")
