"""All three links against what brokers other than mosquitto answer: nothing is lost in silence, each has its words."""

import contextlib
import logging
from collections.abc import Iterator

import pytest

from edge_agent.mqtt import client as device_client
from edge_agent.mqtt.link import Link as DeviceLink
from edge_agent.mqtt.settings import BrokerSettings as DeviceSettings
from edge_bridge import link as bridge_link
from edge_bridge.link import Link as BridgeLink
from edge_bridge.settings import BrokerSettings as BridgeSettings
from edge_contract.errors import EdgewiseError
from edge_fleet import link as fleet_link
from edge_fleet.link import Arrived
from edge_fleet.link import Link as FleetLink
from edge_mqtt import takeover
from edge_mqtt.address import BrokerAddress
from tests.eventually import eventually
from tests.mqtt.scripted_broker import ScriptedBroker

RECEIVE_MAXIMUM, SESSION_EXPIRY = b"\x21", b"\x11"
NO_RETAIN, NO_QOS, NO_TOPIC_ALIAS = b"\x25\0", b"\x24\0", b"\x22\0\0"


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


@contextlib.contextmanager
def device(broker: ScriptedBroker) -> Iterator[DeviceLink]:
    link = DeviceLink(DeviceSettings(port=broker.port), "cam-1", clean_start=False, jitter=lambda: 0.0)
    link.subscribe("news/+", lambda _topic, _payload: None)
    link.start()
    try:
        yield link
    finally:
        link.stop()


@contextlib.contextmanager
def bridge(broker: ScriptedBroker) -> Iterator[BridgeLink]:
    link = BridgeLink(BridgeSettings(port=broker.port), ["t/+"], lambda _: None)
    link.start()
    try:
        yield link
    finally:
        link.stop()


@pytest.mark.parametrize(("granted", "device_most", "fleet_most"), [(1, 1, 1), (3, 3, 3), (65535, 16, 16)])
def test_no_more_is_in_flight_than_the_broker_takes(granted: int, device_most: int, fleet_most: int) -> None:
    connack = RECEIVE_MAXIMUM + granted.to_bytes(2) + NO_TOPIC_ALIAS
    with ScriptedBroker(connack=connack) as broker, device(broker) as link:
        eventually(lambda: link.connected)
        for number in range(20):
            assert link.publish(f"t/{number}", b"x")
        eventually(lambda: broker.published == 20)
        assert broker.most_in_flight == device_most <= device_client.IN_FLIGHT
        assert link.connects == 1
    with ScriptedBroker(connack=connack) as broker, FleetLink(BrokerAddress(port=broker.port)) as release:
        assert release.publish([Arrived(f"t/{number}", b"x") for number in range(20)]) == 20
        assert broker.most_in_flight == fleet_most <= fleet_link.IN_FLIGHT


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x83, "for reasons of its own"), (0x87, "does not permit this"), (0x90, "this topic"), (0x97, "quota")],
)
def test_a_refused_message_is_said_with_its_topic(code: int, words: str) -> None:
    with ScriptedBroker(puback=code) as broker:
        with device(broker) as link:
            eventually(lambda: link.connected)
            assert link.publish("mine/1", b"x")
            eventually(lambda: words in link.complaint)
            assert "mine/1" in link.complaint
        with FleetLink(BrokerAddress(port=broker.port)) as release, pytest.raises(EdgewiseError, match=words):
            release.publish([Arrived("mine/1", b"x")])


def test_a_refused_subscription_is_said_by_all_three(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedBroker(suback=0x87) as broker:
        with device(broker) as link:
            eventually(lambda: "refuses news/+" in link.complaint)
        with bridge(broker) as link_of_bridge:
            eventually(lambda: "refuses t/+" in link_of_bridge.complaint)
        assert "the broker refuses t/+ to a client without user and certificate: it does not permit this" in caplog.text
        with (
            FleetLink(BrokerAddress(port=broker.port)) as release,
            pytest.raises(EdgewiseError, match=r"refuses x/\+ to a client .*: it does not permit this; correct the"),
        ):
            release.subscribe("x/+", lambda _: None)


@pytest.mark.parametrize(
    ("code", "words"), [(0x95, "takes no packets of this size"), (0x93, "too much at once"), (0x97, "quota")]
)
def test_a_broker_that_ends_the_connection_for_a_message_is_quoted_and_no_rival_is_blamed(
    code: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedBroker(end_on_publish=code) as broker:
        with device(broker) as link:
            eventually(lambda: link.connected)
            link.publish("t/1", b"x")
            eventually(lambda: words in link.complaint)
        with FleetLink(BrokerAddress(port=broker.port)) as release, pytest.raises(EdgewiseError, match=words) as error:
            release.publish([Arrived("t/1", b"x")])
    assert "another client" not in caplog.text + str(error.value)


@pytest.mark.parametrize(
    "garbage",
    [b"\x30\x06\x00\x01t\x01\x99x", b"\x30\xff\xff\xff\xff\xff\x01", b"\xe0\x02\x77\x00"],
    ids=["a property that there is not", "a length without end", "a reason that there is not"],
)
def test_packets_that_cannot_be_read_are_called_so_and_no_rival_is_blamed(
    garbage: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_link, "RECONNECT_FIRST_S", 0.01)
    with ScriptedBroker(after_suback=garbage) as broker:
        with device(broker) as link:
            eventually(lambda: broker.connections > takeover.SILENT_ENDS)
            eventually(lambda: "sent what is no MQTT 5" in link.complaint)
        caplog.clear()
        broker.connections = 0
        with bridge(broker):
            eventually(lambda: broker.connections > takeover.SILENT_ENDS)
        assert "sent what is no MQTT 5" in caplog.text
    assert "another client" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_command_ends_with_what_it_could_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_link, "WAIT_S", 5.0)
    with ScriptedBroker(after_suback=b"\x00\x00") as broker, FleetLink(BrokerAddress(port=broker.port)) as release:
        release.subscribe("x/+", lambda _: None)
        with pytest.raises(EdgewiseError, match="sent what is no MQTT 5"):
            release.publish([Arrived("t/1", b"x")])


def test_a_bridge_whose_session_was_taken_over_says_what_the_broker_said(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedBroker(after_suback=b"\xe0\x01\x8e") as broker, bridge(broker):
        eventually(lambda: "back in 60 s" in caplog.text)
    assert "because another client came with the same id" in caplog.text
    assert "without a word" not in caplog.text


def test_a_session_that_the_broker_forgets_sooner_than_asked_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedBroker(connack=SESSION_EXPIRY + (60).to_bytes(4)) as broker:
        with device(broker) as link:
            eventually(lambda: link.connected)
        with bridge(broker) as link_of_bridge:
            eventually(lambda: link_of_bridge.connected)
    said = [record.getMessage() for record in caplog.records if "for 60 s after it is gone" in record.getMessage()]
    assert len(said) == 2
    assert all("raise the longest session expiry there" in each for each in said)


@pytest.mark.parametrize(("connack", "words"), [(NO_RETAIN, "does not retain"), (NO_QOS, "does not acknowledge")])
def test_the_bridge_too_names_a_broker_that_lacks_what_it_needs(
    connack: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedBroker(connack=connack) as broker, bridge(broker) as link:
        eventually(lambda: words in caplog.text)
        assert not link.connected


@pytest.mark.parametrize("connack", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"], ids=["as 3.1.1 says", "as 5 says"])
def test_a_broker_without_mqtt_5_is_refused_in_one_sentence_by_all_three(
    connack: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedBroker(instead_of_connack=connack) as broker:
        with device(broker) as link:
            eventually(lambda: "does not speak MQTT 5; use one that does" in link.complaint)
        caplog.clear()
        with bridge(broker):
            eventually(lambda: "does not speak MQTT 5; use one that does" in caplog.text)
        with (
            pytest.raises(EdgewiseError, match="it does not speak MQTT 5; use one that does"),
            FleetLink(BrokerAddress(port=broker.port)),
        ):
            pass
