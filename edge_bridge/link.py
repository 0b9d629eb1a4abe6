"""The bridge's connection to the broker: MQTT 5 with a persistent session. Only this module knows paho here.

Rules:
- One thread connects, reads and writes. It empties the socket before it waits again and hands what came over as one
  list, so the cost of waking a thread is shared by a burst. `deliver` may block: that holds the broker back.
- What other threads want to publish waits in an outbox and leaves on this thread. A message that cannot leave because
  the broker is away is dropped: acknowledgements are repeated whenever a device repeats itself.
- Subscriptions are asked for again on every connect, so retained state is said again even within a live session.

Not here: what messages mean (`intake`), and what survives (`store`): an MQTT acknowledgement promises nothing.
"""

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_bridge.settings import BrokerSettings
from edge_contract import limits
from edge_mqtt import reasons, takeover
from edge_mqtt.granted import Granted
from edge_mqtt.tls import tls_context

RECONNECT_FIRST_S: Final = 0.5
RECONNECT_LONGEST_S: Final = 15.0
"""There is one bridge and a whole fleet waiting for its acknowledgements: it comes back soon."""
CONNECT_S: Final = 10.0
"""From the start of an attempt to the broker's CONNACK."""
BURST: Final = 500
"""Messages read at most before they are handed over: bounds memory and how late a keep-alive can be."""
RECEIVE_MAXIMUM: Final = 1000
"""Messages the broker may have in flight to us; fewer would cost a round trip for every handful."""
OUTBOX: Final = 100_000
"""Acknowledgements that wait for the connection; older ones are dropped first."""

_log = logging.getLogger(__name__)


class Arrival(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes


class Link:
    """One MQTT session, kept up until `stop`; see the module."""

    def __init__(
        self,
        settings: BrokerSettings,
        filters: Sequence[str],
        deliver: Callable[[list[Arrival]], None],
    ) -> None:
        """`deliver` runs on the link's thread with one to `BURST` messages, in the order they came.

        Raises:
            UsageError: a certificate or key file of the settings cannot be used.
        """
        self._settings, self._filters, self._deliver = settings, filters, deliver
        self._burst: list[Arrival] = []
        self._outbox: deque[tuple[str, bytes]] = deque(maxlen=OUTBOX)
        self._wake_receive, self._wake_send = socket.socketpair()
        for end in (self._wake_receive, self._wake_send):
            end.setblocking(False)
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._refused: reasons.Reason | None = None  # why the broker does not admit this bridge
        self.complaint = ""
        """Why there is no connection, or what the broker does not deliver over it, with its remedy; else empty."""
        self._rival = takeover.Rival()
        self._taken_over = self._silent = False  # how the last connection ended
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and the connection stands."""
        return self._connected.is_set()

    @property
    def alive(self) -> bool:
        """Whether the link's thread still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Connect and stay connected, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect politely and end; the broker keeps the session. Waits a few seconds at most."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(CONNECT_S)

    def publish(self, topic: str, payload: bytes) -> None:
        """Queue a message with QoS 0; callable from any thread."""
        self._outbox.append((topic, payload))
        self._wake()

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Queue many messages and wake the link once."""
        self._outbox.extend(messages)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is being woken anyway; closed: it has ended
            self._wake_send.send(b"\0")

    def _make_client(self) -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=settings.client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = CONNECT_S
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls:
            client.tls_set_context(tls_context(settings))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        return client

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        granted = Granted.of(properties)
        self._refused = reasons.refused_login(reason.value) if reason.is_failure else granted.lacking
        if self._refused is not None:
            client.disconnect()  # and `_on_disconnect` says why
            return
        if shorter := granted.shorter_session(self._settings.session_expiry_s):
            _log.warning("the broker %s %s", self._settings.where, shorter)
        self.complaint = ""
        client.subscribe([(each, 1) for each in self._filters])
        self._connected.set()
        _log.info("connected to the broker%s", ", session resumed" if flags.session_present else "")

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        said, admitted = flags.is_disconnect_packet_from_server, self.connected
        self._connected.clear()
        self._taken_over = said and reason.value == reasons.SESSION_TAKEN_OVER
        self._silent = admitted and reasons.stated(reason.value, said_by_broker=said) is None
        if not self._stopping.is_set():
            why = self._refused or reasons.ended(reason.value, said_by_broker=said, admitted=admitted)
            settings = self._settings
            self.complaint = f"the broker {settings.where} ({settings.identity}, id {settings.client_id}) {why}"
            _log.warning(self.complaint)

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _mid: int,
        answers: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for topic_filter, answer in zip(self._filters, answers, strict=False):  # as many as the broker chose to send
            if answer.is_failure:
                who, why = self._settings.identity, reasons.reason(answer.value)
                self.complaint = f"the broker refuses {topic_filter} to {who}: it {why}"
                _log.warning(self.complaint)

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            self._burst.append(Arrival(message.topic, bytes(message.payload)))
        except UnicodeDecodeError:
            return  # a topic that is no UTF-8 is none of ours

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began, self._taken_over, self._silent = time.monotonic(), False, False
            try:
                stood = self._one_connection()
            except Exception:  # noqa: BLE001  # whatever a packet provoked: a new connection mends it
                _log.exception("the connection to the broker failed")
                stood = False
            self._connected.clear()
            failures = 0 if stood else failures + 1
            pause = self._rival.ended(
                stood=time.monotonic() - began if stood else 0.0, taken_over=self._taken_over, silent=self._silent
            )
            if pause:
                why = reasons.reason(reasons.SESSION_TAKEN_OVER) if self._taken_over else takeover.LIKELY
                _log.warning("the broker %s %s; back in %g s", self._settings.where, why, pause)
                self._stopping.wait(pause)
                continue
            self._stopping.wait(min(RECONNECT_LONGEST_S, RECONNECT_FIRST_S * 2.0 ** min(failures, 10)))
        for end in (self._wake_receive, self._wake_send):
            end.close()

    def _one_connection(self) -> bool:
        """Connect and serve until it breaks or `stop`; whether the broker had accepted us."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = 2 * limits.MESSAGE_BYTES
        try:
            self._client.connect(
                self._settings.host,
                self._settings.port,
                self._settings.keepalive_s,
                clean_start=False,  # paho's default forgets the session on the first connect
                properties=properties,
            )
        except (OSError, ValueError) as error:  # OSError: also TLS, DNS and timeouts
            self.complaint = f"broker {self._settings.where} cannot be reached ({error}); trying again"
            _log.warning(self.complaint)
            return False
        began, accepted = time.monotonic(), False
        poll = select.poll()  # not select(): a server with many readers has descriptors past its 1,024
        poll.register(self._wake_receive, select.POLLIN)
        if (sock := self._client.socket()) is not None:
            poll.register(sock, select.POLLIN)
        while not self._stopping.is_set() and self._serve_once(poll):
            accepted = accepted or self.connected
            if not accepted and time.monotonic() - began > CONNECT_S:
                self.complaint = (
                    f"the broker {self._settings.where} does not answer within {CONNECT_S:g} s; trying again"
                )
                _log.warning(self.complaint)
                break
        self._client.disconnect()
        if self._client.want_write():
            self._client.loop_write()
        self._hand_over()
        return accepted

    def _serve_once(self, poll: select.poll) -> bool:
        """Wait for something to do, and do it; False when the connection is gone."""
        client = self._client
        sock = client.socket()
        if sock is None:
            return False
        poll.modify(sock, select.POLLIN | select.POLLOUT if client.want_write() else select.POLLIN)
        # TLS may hold decrypted bytes that the operating system no longer knows of.
        waiting = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = dict(poll.poll(0 if waiting else 1000))
        if self._wake_receive.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                self._wake_receive.recv(4096)
        events = ready.get(sock.fileno(), 0)
        if (events & ~select.POLLOUT or waiting) and not self._read_burst():
            return False
        if events & select.POLLOUT:
            client.loop_write()
        if self.connected:
            while self._outbox:
                topic, payload = self._outbox.popleft()
                client.publish(topic, payload, qos=0)
        return client.loop_misc() == mqtt.MQTT_ERR_SUCCESS

    def _read_burst(self) -> bool:
        """Read what came, up to `BURST` messages, and hand it over; False when the connection is gone."""
        # One read gives one packet, and paho does not tell an empty socket from a packet that is no message: go on
        # while messages come, and let `poll` find the rest.
        standing, had = self._client.loop_read() == mqtt.MQTT_ERR_SUCCESS, 0
        while standing and had < len(self._burst) < BURST:
            had = len(self._burst)
            standing = self._client.loop_read() == mqtt.MQTT_ERR_SUCCESS
        self._hand_over()
        return standing

    def _hand_over(self) -> None:
        if self._burst:
            burst, self._burst = self._burst, []
            self._deliver(burst)
