"""The release side's connection to the broker: short-lived, blocking, never silent. Only this module knows paho here.

Every wait has a limit and ends in a sentence. Sizes are checked against the broker's announced maximum before sending,
because a broker answers a larger packet by disconnecting and paho would send it again for ever.
"""

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_contract.errors import EdgewiseError, MessageError
from edge_mqtt.address import BrokerAddress
from edge_mqtt.tls import tls_context

WAIT_S: Final = 15.0  # for the broker's answer to one packet; longer means that it is gone or overloaded


class Arrived(NamedTuple):
    """One message of a subscription."""

    topic: str
    payload: bytes


class Link:
    """One connection, made and ended by a `with` block."""

    def __init__(self, address: BrokerAddress) -> None:
        """Nothing is connected before the `with` block.

        Raises:
            UsageError: a certificate file cannot be used.
        """
        self._address = address
        self._acknowledged: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self._connected: queue.Queue[ReasonCode] = queue.Queue()
        self.largest_packet: int | None = None
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"edgewise-{uuid.uuid4().hex[:12]}", protocol=mqtt.MQTTv5
        )
        client.connect_timeout = WAIT_S
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set_context(tls_context(address))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_answer
        client.on_unsubscribe = self._on_answer
        self._client = client
        self._handlers: dict[str, Callable[[Arrived], None]] = {}

    def __enter__(self) -> "Link":
        """Connect.

        Raises:
            EdgewiseError: the broker cannot be reached or refuses; the text says which.
        """
        where = self._address.where
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        try:
            self._client.connect(self._address.host, self._address.port, properties=properties)
        except (OSError, ValueError) as error:
            raise EdgewiseError(
                f"the broker {where} cannot be reached ({error})", remedy="start it or name it with --broker"
            ) from error
        self._client.loop_start()
        try:
            reason = self._connected.get(timeout=WAIT_S)
        except queue.Empty:
            self.__exit__(None, None, None)
            raise EdgewiseError(
                f"{where} does not answer like an MQTT broker", remedy="check the address and port"
            ) from None
        if reason.is_failure:
            self.__exit__(None, None, None)
            raise EdgewiseError(
                f"the broker {where} refused the connection ({reason})", remedy="check user and certificate"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def check_size(self, topic: str, payload: bytes) -> None:
        """Refuse what this broker would disconnect us for.

        Raises:
            MessageError: too large for one packet.
        """
        size = len(payload) + len(topic.encode()) + 10  # fixed header 5, topic length 2, packet id 2, no properties 1
        if self.largest_packet is not None and size > self.largest_packet:
            raise MessageError(
                f"{topic} needs a packet of {size} bytes and this broker takes {self.largest_packet}",
                remedy="raise its maximum packet size: 128 kB is enough for all that Edgewise sends",
            )

    def publish(
        self, messages: Iterable[Arrived], done: Callable[[int], None] = lambda _: None, *, retain: bool = True
    ) -> int:
        """Retain messages on the broker, in order; an empty payload clears a topic. Returns how many were sent.

        `done(bytes)` is called as each is acknowledged.

        Raises:
            MessageError: as `check_size`; EdgewiseError: the broker does not acknowledge.
        """
        sent: list[tuple[mqtt.MQTTMessageInfo, int]] = []
        count = 0
        for topic, payload in messages:
            self.check_size(topic, payload)
            sent.append((self._client.publish(topic, payload, qos=1, retain=retain), len(payload)))
            count += 1
            while len(sent) >= 16:  # a megabyte of chunks on the way, no more
                self._await_acknowledgement(*sent.pop(0), done)
        for info, size in sent:
            self._await_acknowledgement(info, size, done)
        return count

    def subscribe(self, topic_filter: str, handler: Callable[[Arrived], None], *, qos: int = 1) -> None:
        """Call `handler` on the network thread for every match, retained ones first; returns once it is granted."""

        def received(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
            with contextlib.suppress(UnicodeDecodeError):
                handler(Arrived(message.topic, bytes(message.payload)))

        self._client.message_callback_add(topic_filter, received)
        self._answered(lambda: self._client.subscribe(topic_filter, qos=qos)[1])

    def retained(self, topic_filter: str) -> dict[str, bytes]:
        """What the broker holds now under a filter, by topic.

        At QoS 0 nothing limits what is in flight, so a broker's retained messages stand before its answer to the
        UNSUBSCRIBE that follows. A clustered broker may answer earlier; then something is published once too often.
        """
        found: dict[str, bytes] = {}
        self.subscribe(topic_filter, lambda arrived: found.__setitem__(arrived.topic, arrived.payload), qos=0)
        self._answered(lambda: self._client.unsubscribe(topic_filter)[1])
        self._client.message_callback_remove(topic_filter)
        return {topic: payload for topic, payload in found.items() if payload}

    def _await_acknowledgement(self, info: mqtt.MQTTMessageInfo, size: int, done: Callable[[int], None]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not info.is_published():
            if time.monotonic() > deadline:
                raise EdgewiseError(
                    "the broker stopped acknowledging", remedy="check it, then run the same command again"
                )
            with contextlib.suppress(RuntimeError, ValueError):  # a lost connection: paho is reconnecting and resends
                info.wait_for_publish(0.5)
        done(size)

    def _answered(self, send: Callable[[], int | None]) -> None:
        with self._lock:  # so that the answer cannot come before it is waited for
            number = send()
            if number is None:
                raise EdgewiseError("the connection to the broker was lost", remedy="run the same command again")
            answered = self._acknowledged[number] = threading.Event()
        if not answered.wait(WAIT_S):
            raise EdgewiseError(
                "the broker does not answer a subscription", remedy="check it, then run the same command again"
            )
        with self._lock:
            del self._acknowledged[number]

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.largest_packet = getattr(properties, "MaximumPacketSize", None)
        self._connected.put(reason)

    def _on_answer(
        self,
        _client: mqtt.Client,
        _userdata: object,
        number: int,
        _reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        with self._lock:
            if number in self._acknowledged:
                self._acknowledged[number].set()
