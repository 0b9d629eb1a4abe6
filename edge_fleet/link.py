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
from typing import Final, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_contract.errors import EdgewiseError, MessageError
from edge_mqtt import reasons, takeover
from edge_mqtt.address import BrokerAddress
from edge_mqtt.any_descriptor import SelectByPoll
from edge_mqtt.granted import Granted
from edge_mqtt.tls import tls_context

PATIENCE_S: Final = (20, 300)
"""How long a patient link stays away after a lost connection, first and at most: a push takes less than the first."""
SOON_S: Final = 5.0
"""A connection that ended sooner was most likely ended by another client of the same id."""
IN_FLIGHT: Final = 16
"""Unacknowledged messages on the way, where the broker takes as many: a megabyte of chunks."""
WAIT_S: Final = 15.0  # for the broker's answer to one packet; longer means that it is gone or overloaded


class Arrived(NamedTuple):
    """One message of a subscription."""

    topic: str
    payload: bytes


class Link:
    """One connection, made and ended by a `with` block."""

    def __init__(self, address: BrokerAddress, *, patient: bool = False) -> None:
        """Nothing is connected before the `with` block.

        `patient`: it stays for long, and after a lost connection lets others of the same id finish before it is back.

        Raises:
            UsageError: a certificate file cannot be used.
        """
        self._address = address
        self._answers: dict[int, queue.SimpleQueue[list[int]]] = {}
        self._acknowledged: dict[int, int] = {}  # the broker's code by the number of a message
        self._news = threading.Condition()  # about those; never held while paho is called
        self._filters: dict[str, tuple[int, Callable[[Arrived], None]]] = {}  # QoS and handler of what stays
        self._lock = threading.Lock()
        self._connected: queue.Queue[reasons.Reason | None] = queue.Queue()
        self._patient, self._stood_since = patient, 0.0
        self._ended: reasons.Reason | None = None  # why the last connection is gone, where that is known
        self.losses = 0
        """Connections in a row that the broker soon ended: most likely another client has the same id."""
        self.connects = 0
        """How often the broker admitted this side: what was retained may have been lost in between."""
        self.largest_packet: int | None = None
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"edgewise-{uuid.uuid4().hex[:12]}", protocol=mqtt.MQTTv5
        )
        setattr(mqtt, "select", SelectByPoll)  # noqa: B010  # no typed way in
        client.connect_timeout = WAIT_S
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            client.tls_set_context(tls_context(address))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_answer
        client.on_unsubscribe = self._on_answer
        self._client = client

    def __enter__(self) -> Self:
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
        if reason is not None:
            self.__exit__(None, None, None)
            raise EdgewiseError(
                f"the broker {where} refuses {self._address.identity}: it {reason.words}", remedy=reason.remedy
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the connection stands at this moment."""
        return self._client.is_connected()

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
            MessageError: as `check_size`; EdgewiseError: the broker refuses one, or does not acknowledge.
        """
        sent: list[tuple[mqtt.MQTTMessageInfo, str, int]] = []
        count = 0
        for topic, payload in messages:
            self.check_size(topic, payload)
            sent.append((self._client.publish(topic, payload, qos=1, retain=retain), topic, len(payload)))
            count += 1
            while len(sent) >= IN_FLIGHT:
                self._await_acknowledgement(*sent.pop(0), done)
        for info, topic, size in sent:
            self._await_acknowledgement(info, topic, size, done)
        return count

    def subscribe(
        self, topic_filter: str, handler: Callable[[Arrived], None], *, qos: int = 1, held: bool = False
    ) -> None:
        """Call `handler` on the network thread for every match, retained ones first; returns once it is granted.

        `held`: for what the broker retains alone, and not for what is published meanwhile.
        """

        def received(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
            with contextlib.suppress(UnicodeDecodeError):
                if message.retain or not held:
                    handler(Arrived(message.topic, bytes(message.payload)))

        self._client.message_callback_add(topic_filter, received)
        codes = self._answered(lambda: self._client.subscribe(topic_filter, qos=qos)[1])
        if refused := [code for code in codes if code >= reasons.FAILURE]:
            raise self._refusal(topic_filter, refused[0])
        self._filters[topic_filter] = qos, handler  # asked for again after a lost connection

    def retained(self, topic_filter: str) -> dict[str, bytes]:
        """What the broker holds now under a filter, by topic.

        At QoS 0 nothing limits what is in flight, so a broker's retained messages stand before its answer to the
        UNSUBSCRIBE that follows. A clustered broker may answer earlier; then something is published once too often.
        """
        found: dict[str, bytes] = {}
        stays = self._filters.get(topic_filter)
        self.subscribe(
            topic_filter, lambda arrived: found.__setitem__(arrived.topic, arrived.payload), qos=0, held=True
        )
        self._filters.pop(topic_filter, None)
        self._answered(lambda: self._client.unsubscribe(topic_filter)[1])
        self._client.message_callback_remove(topic_filter)
        if stays is not None:  # this link listens to it anyway; what came meanwhile is retained, and comes again
            self.subscribe(topic_filter, stays[1], qos=stays[0])
        return {topic: payload for topic, payload in found.items() if payload}

    def _await_acknowledgement(
        self, info: mqtt.MQTTMessageInfo, topic: str, size: int, done: Callable[[int], None]
    ) -> None:
        deadline = time.monotonic() + WAIT_S
        with self._news:
            while info.mid not in self._acknowledged:  # paho sends it again after a lost connection
                self._check_ours()
                if time.monotonic() > deadline:
                    raise EdgewiseError(
                        "the broker stopped acknowledging", remedy="check it, then run the same command again"
                    )
                self._news.wait(0.5)
            code = self._acknowledged.pop(info.mid)
        if code >= reasons.FAILURE:
            raise self._refusal(topic, code)
        done(size)

    def _answered(self, send: Callable[[], int | None]) -> list[int]:
        """The broker's codes for what `send` asks for; asked again where the connection was lost meanwhile."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            self._check_ours()
            with self._lock:  # so that the answer cannot come before it is waited for
                number, connects = send(), self.connects
                answer = queue.SimpleQueue[list[int]]()
                if number is not None:
                    self._answers[number] = answer
            try:
                while number is not None and connects == self.connects and time.monotonic() < deadline:
                    with contextlib.suppress(queue.Empty):
                        return answer.get(timeout=0.5)
            finally:
                with self._lock:
                    self._answers.pop(number or 0, None)
            if number is None:
                time.sleep(0.2)
        raise EdgewiseError(
            "the broker does not answer a subscription", remedy="check it, then run the same command again"
        )

    def _check_ours(self) -> None:
        if not self._patient and self.losses >= takeover.SILENT_ENDS:
            if (why := self._ended) is not None and why != reasons.reason(reasons.SESSION_TAKEN_OVER):
                raise EdgewiseError(
                    f"the broker {self._address.where} ended {self.losses} connections at once: it {why.words}",
                    remedy=why.remedy,
                )
            raise EdgewiseError(
                f"the broker {self._address.where} ended {self.losses} connections at once: most likely another client "
                f"comes as {self._address.identity} too",
                remedy="run one such command at a time, and give `fleet heal --watch` a certificate of its own",
            )

    def _refusal(self, topic: str, code: int) -> EdgewiseError:
        why = reasons.reason(code)
        return EdgewiseError(
            f"the broker {self._address.where} refuses {topic} to {self._address.identity}: it {why.words}",
            remedy=why.remedy,
        )

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._connected.put(reasons.refused_login(reason.value))
            return
        self._stood_since = time.monotonic()
        granted = Granted.of(properties)
        client._max_inflight_messages = min(IN_FLIGHT, granted.in_flight)  # its setter refuses once a socket is open
        self.largest_packet = granted.largest_packet
        # A connection that was lost took its subscriptions with it.
        if filters := [(name, qos) for name, (qos, _) in self._filters.items()]:
            client.subscribe(filters)
        self.connects += 1
        self._connected.put(granted.lacking)

    def _on_disconnect(
        self,
        client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not self.connects:
            said = flags.is_disconnect_packet_from_server
            self._connected.put(reasons.ended(reason.value, said_by_broker=said, admitted=False))
            return
        self._ended = reasons.stated(reason.value, said_by_broker=flags.is_disconnect_packet_from_server)
        soon = time.monotonic() - self._stood_since < (PATIENCE_S[1] if self._patient else SOON_S)
        self.losses = self.losses + 1 if soon else 1
        if self._patient:
            pause = min(PATIENCE_S[1], PATIENCE_S[0] * 2 ** min(self.losses - 1, 8))
            client.reconnect_delay_set(min_delay=pause, max_delay=pause)

    def _on_publish(
        self, _client: mqtt.Client, _userdata: object, number: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._news:
            self._acknowledged[number] = reason.value
            self._news.notify_all()

    def _on_answer(
        self,
        _client: mqtt.Client,
        _userdata: object,
        number: int,
        answers: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        with self._lock:
            if number in self._answers:
                self._answers[number].put([answer.value for answer in answers])
