"""What the bridge writes is what paho writes, and times at which a broker is asked whether it is there."""

import socket
import threading

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_bridge.mqtt import written
from edge_bridge.mqtt.keepalive import Keepalive
from edge_bridge.mqtt.reader import Arrival, Reader


class Recorded:
    """The bytes that one paho client writes to a broker that admits it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.data = b""
        self.thread = threading.Thread(target=self._record, daemon=True)
        self.thread.start()

    def _record(self) -> None:
        connection, _ = self._server.accept()
        with connection, self._server:
            connection.settimeout(20)
            while data := connection.recv(65536):
                if not self.data:
                    connection.sendall(b"\x20\x03\0\0\0")
                self.data += data


def recorded(client: mqtt.Client, properties: Properties, topic: str, payload: bytes) -> bytes:
    broker = Recorded()
    client.on_connect = lambda made, *_: (
        made.subscribe([("t/+", 1), ("u", 1)]),
        made.publish(topic, payload),
        made.disconnect(),
    )
    client.connect("127.0.0.1", broker.port, 30, clean_start=False, properties=properties)
    client.loop_forever(retry_first_connection=False)
    broker.thread.join(20)
    return broker.data


@pytest.mark.parametrize("account", [(None, None), ("b", "right"), ("b", None)], ids=["none", "both", "a user"])
def test_a_session_is_written_as_paho_writes_it(account: tuple[str | None, str | None]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bridge", protocol=mqtt.MQTTv5)
    if account[0] is not None:
        client.username_pw_set(*account)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval, properties.ReceiveMaximum, properties.MaximumPacketSize = 3600, 1000, 4096
    ours = written.connect(
        client_id="bridge", username=account[0], password=account[1], keepalive_s=30, session_expiry_s=3600,
        receive_maximum=1000, packet_bytes=4096,
    ) + written.subscribe(1, ["t/+", "u"]) + written.publish("t/1", b"x" * 200) + written.disconnect()  # fmt: skip
    assert ours == recorded(client, properties, "t/1", b"x" * 200)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1), st.binary())
def test_a_message_is_read_back(topic: str, payload: bytes) -> None:
    reader = Reader(10**6)
    reader.feed(b"\x20\x03\0\0\0")
    assert reader.feed(written.publish(topic, payload)).messages == [Arrival(topic, payload)]


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "a" * 65536, "\ud800"])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match=r"topic|text|surrogates"):
        written.publish(topic, b"x")


def test_a_silent_broker_is_asked_once_and_given_up_an_interval_later() -> None:
    keepalive = Keepalive(30, 0.0)
    assert keepalive.due(29.9) == "nothing"
    assert keepalive.due(30.0) == "ping"
    assert keepalive.due(59.9) == "nothing"
    assert keepalive.due(60.0) == "gone"


def test_an_answer_ends_the_wait_and_traffic_both_ways_asks_nothing() -> None:
    keepalive = Keepalive(30, 0.0)
    assert keepalive.due(30.0) == "ping"
    keepalive.received(31.0)
    assert keepalive.due(59.0) == "nothing"
    assert keepalive.due(60.0) == "ping"  # nothing was sent since 30
    keepalive.received(61.0)
    keepalive.sent(85.0)
    assert keepalive.due(90.0) == "nothing"
    assert keepalive.due(91.0) == "ping"  # nothing came since 61
    assert Keepalive(0, 0.0).due(1e9) == "nothing"
