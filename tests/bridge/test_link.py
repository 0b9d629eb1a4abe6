"""The bridge's link against real brokers: what is sent comes once, refusals are said, two of one id make peace."""

import contextlib
import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_bridge import link as link_module
from edge_bridge.link import Arrival, Link
from edge_bridge.mqtt.settings import BrokerSettings
from edge_simulator.broker import Broker
from tests.eventually import eventually
from tests.mqtt.scripted_broker import ScriptedBroker


@contextlib.contextmanager
def started(settings: BrokerSettings, deliver: Callable[[list[Arrival]], None] = lambda _: None) -> Iterator[Link]:
    link = Link(settings, ["t/+"], deliver)
    link.start()
    try:
        yield link
    finally:
        link.stop()


def test_a_wrong_password_is_said_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "b", "right"], check=True, capture_output=True)
    with Broker(tmp_path / "broker", extra=f"password_file {passwords}") as broker:
        with started(BrokerSettings(port=broker.port, username="b", password="hush")) as link:  # noqa: S106
            eventually(lambda: "check user, password and certificate" in caplog.text)
            assert not link.connected
            assert "check user, password and certificate" in link.complaint
        assert "user 'b'" in caplog.text
        assert "hush" not in caplog.text
        with started(BrokerSettings(port=broker.port, username="b", password="right")) as link:  # noqa: S106
            eventually(lambda: link.connected)
            assert link.complaint == ""


def test_two_bridges_of_one_id_say_so_and_one_of_them_works(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(link_module, "RECONNECT_FIRST_S", 0.05)
    settings = BrokerSettings(port=broker.port)
    with started(settings) as first, started(settings) as second:
        eventually(lambda: "most likely another client came with the same id" in caplog.text)
        assert "client_id of a bridge" in caplog.text
        eventually(lambda: first.connected != second.connected)


def test_what_came_while_it_was_away_comes_in_order_with_the_rest_and_once(broker: Broker) -> None:
    """More than a burst, than what may be in flight, and than one read; from a session that the broker kept."""
    seen: list[Arrival] = []
    settings = BrokerSettings(port=broker.port)
    with started(settings, seen.extend) as link:
        eventually(lambda: link.connected)
    wanted = [Arrival(f"t/{number % 7}", b"%d " % number + bytes(number % 700)) for number in range(1500)]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, payload in wanted[:700]:
        said = client.publish(topic, payload, qos=1)
    said.wait_for_publish(60)
    with started(settings, seen.extend) as link:
        eventually(lambda: link.connected)
        for topic, payload in wanted[700:]:
            client.publish(topic, payload, qos=1)
        eventually(lambda: len(seen) >= len(wanted))
        link.publish("t/last", b"")  # behind all of them on this connection
        eventually(lambda: seen[-1].topic == "t/last")
    client.disconnect()
    client.loop_stop()
    assert seen[:-1] == wanted


def test_a_message_larger_than_the_broker_takes_is_left_out_and_the_next_one_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedBroker(connack=b"\x27\x00\x00\x00\x40") as broker, started(BrokerSettings(port=broker.port)) as link:
        eventually(lambda: link.connected)
        link.publish("t/1", b"x" * 100)
        link.publish("t/1", b"x")
        eventually(lambda: "takes 64" in caplog.text)
        assert link.connected


def test_what_is_no_topic_is_refused_where_it_is_published(broker: Broker) -> None:
    with started(BrokerSettings(port=broker.port)) as link, pytest.raises(ValueError, match="no topic"):
        link.publish("t/#", b"x")
