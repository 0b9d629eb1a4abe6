"""The bridge's connection to the broker: MQTT 5 with a persistent session.

Rules:
- One thread connects, reads and writes. It takes what came over in large reads and hands it over in lists, so the cost
  of waking a thread is shared by a burst; after a small one it lets more come. `deliver` may block: that holds the
  broker back.
- What other threads want to publish waits in an outbox and leaves on this thread. A message that cannot leave because
  the broker is away is dropped: acknowledgements are repeated whenever a device repeats itself.
- Subscriptions are asked for again on every connect, so retained state is said again even within a live session.

Not here: the packets and the socket (`mqtt`), what messages mean (`intake`), and what survives (`store`): an MQTT
acknowledgement promises nothing.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from edge_bridge.mqtt import written
from edge_bridge.mqtt.connection import Connection, EndedError
from edge_bridge.mqtt.keepalive import Keepalive
from edge_bridge.mqtt.reader import Arrival, Connack, Disconnect, Received, Suback
from edge_bridge.mqtt.settings import BrokerSettings
from edge_contract import limits
from edge_mqtt import reasons, takeover
from edge_mqtt.granted import Granted
from edge_mqtt.tls import tls_context

__all__ = ["Arrival", "Link"]

RECONNECT_FIRST_S: Final = 0.5
RECONNECT_LONGEST_S: Final = 15.0
"""There is one bridge and a whole fleet waiting for its acknowledgements: it comes back soon."""
CONNECT_S: Final = 10.0
"""From the start of an attempt to the broker's CONNACK."""
BURST: Final = 500
"""Messages handed over together at most: bounds what waits behind them in memory."""
FEW: Final = 16
"""A read that brought fewer messages shows a broker that keeps up: it is given time to send more at once."""
GATHER_S: Final = 0.02
"""How long."""
RECEIVE_MAXIMUM: Final = 1000
"""Messages the broker may have in flight to us; fewer would cost a round trip for every handful."""
PACKET_BYTES: Final = 2 * limits.MESSAGE_BYTES
OUTBOX: Final = 100_000
"""Acknowledgements that wait for the connection; older ones are dropped first."""
SEND_BYTES: Final = 64 * 1024
"""What is taken out of the outbox at once."""

_NO_WORD, _MALFORMED, _NO_ANSWER = 0x80, 0x82, 0x8D
"""How a connection ended, as `reasons` knows it, where no packet said so."""
_SUBSCRIBE: Final = 1
"""The number of the only packet that a connection has answered by number."""

_log = logging.getLogger(__name__)


class _End(Exception):  # noqa: N818  # an end, and not always an error
    """The connection is over; `code` by the broker's own word, or by what was seen."""

    def __init__(self, code: int, *, said: bool) -> None:
        super().__init__(code)
        self.code, self.said = code, said


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
        self._tls = tls_context(settings) if settings.tls else None
        self._outbox: deque[bytes] = deque(maxlen=OUTBOX)
        self._wake_receive, self._wake_send = socket.socketpair()
        for end in (self._wake_receive, self._wake_send):
            end.setblocking(False)
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._largest_packet: int | None = None
        self._refused: reasons.Reason | None = None  # why the broker does not admit this bridge
        self.complaint = ""
        """Why there is no connection, or what the broker does not deliver over it, with its remedy; else empty."""
        self._rival = takeover.Rival()
        self._taken_over = self._silent = False  # how the last connection ended
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

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
        """Queue a message with QoS 0; callable from any thread.

        Raises:
            ValueError: it is no topic that a message can have.
        """
        self.publish_all([(topic, payload)])

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Queue many messages and wake the link once; raises as `publish`."""
        self._outbox.extend([written.publish(topic, payload) for topic, payload in messages])
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is being woken anyway; closed: it has ended
            self._wake_send.send(b"\0")

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began, self._taken_over, self._silent, self._refused = time.monotonic(), False, False, None
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
        settings = self._settings
        try:
            connection = Connection.opened(
                settings.host, settings.port, self._tls, timeout_s=CONNECT_S, packet_bytes=PACKET_BYTES
            )
        except (OSError, ValueError) as error:  # OSError: also TLS, DNS and timeouts
            self._complain(f"broker {settings.where} cannot be reached ({error}); trying again")
            return False
        code: int | None = 0
        try:
            connection.send(
                written.connect(
                    client_id=settings.client_id,
                    username=settings.username,
                    password=settings.password,
                    keepalive_s=settings.keepalive_s,
                    session_expiry_s=settings.session_expiry_s,
                    receive_maximum=RECEIVE_MAXIMUM,
                    packet_bytes=PACKET_BYTES,
                )
            )
            self._serve(connection)
        except _End as end:
            code = end.code if end.code == _MALFORMED and not end.said else None
            self._ended(end.code, said=end.said)
        except EndedError:
            code = None
            self._ended(_NO_WORD, said=False)
        except BaseException:
            code = None
            raise
        finally:
            connection.close(code)
        return self.connected

    def _serve(self, connection: Connection) -> None:
        """Read and write until `stop`; any other end is an exception."""
        began = time.monotonic()
        keepalive = Keepalive(self._settings.keepalive_s, began)
        poll = select.poll()  # not select(): a server with many readers has descriptors past its 1,024
        poll.register(self._wake_receive, select.POLLIN)
        gathering = False
        while not self._stopping.is_set():
            poll.register(connection, 0 if gathering else connection.events)
            wait = 0 if connection.pending else int(GATHER_S * 1000) if gathering else 1000
            ready = dict(poll.poll(wait))
            if self._wake_receive.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receive.recv(4096)
            received = connection.read() if ready.get(connection.fileno()) or gathering or connection.pending else None
            now = time.monotonic()
            gathering = False
            if received is not None:
                keepalive.received(now)
                agreed = self._take(connection, received)
                if agreed is not None:
                    keepalive = Keepalive(agreed, now)
                gathering = 0 < len(received.messages) < FEW
            if not self.connected and now - began > CONNECT_S:
                self._complain(
                    f"the broker {self._settings.where} does not answer within {CONNECT_S:g} s; trying again"
                )
                return
            if self._write(connection):
                keepalive.sent(now)
            match keepalive.due(now):
                case "ping" if self.connected:
                    connection.send(written.PINGREQ)
                case "gone":
                    raise _End(_NO_ANSWER, said=False)

    def _write(self, connection: Connection) -> bool:
        """Write what waits, some of the outbox at once; whether there was anything."""
        if not connection.idle:
            connection.flush()
            return True
        sent = False
        while self.connected and self._outbox and connection.idle:
            some, size = [], 0
            while self._outbox and size < SEND_BYTES:
                packet = self._outbox.popleft()
                if self._largest_packet is not None and len(packet) > self._largest_packet:
                    _log.warning(
                        "a message of %d bytes was left out: the broker %s takes %d",
                        len(packet), self._settings.where, self._largest_packet,
                    )  # fmt: skip
                    continue
                some.append(packet)
                size += len(packet)
            connection.send(b"".join(some))
            sent = True
        return sent

    def _take(self, connection: Connection, received: Received) -> int | None:
        """Do what the broker's packets ask for; the seconds of the keep-alive where they were agreed."""
        agreed = None
        ends: Disconnect | None = None
        for answer in received.answers:
            if isinstance(answer, Connack):
                agreed = self._admitted(connection, answer)
            elif isinstance(answer, Suback):
                self._subscribed(answer)
            elif isinstance(answer, Disconnect):
                ends = answer
        for at in range(0, len(received.messages), BURST):
            self._deliver(received.messages[at : at + BURST])
        if ends is not None:
            raise _End(ends.code, said=True)
        if received.acknowledgements:
            connection.send(received.acknowledgements)
        if received.malformed:
            _log.debug("the broker %s sent what is no MQTT 5: %s", self._settings.where, received.malformed)
            raise _End(_MALFORMED, said=False)
        return agreed

    def _admitted(self, connection: Connection, answer: Connack) -> int:
        """The broker answered: subscribe, or end; the seconds of the keep-alive."""
        granted = _granted(answer)
        self._refused = reasons.refused_login(answer.code) if answer.code else granted.lacking
        if self._refused is not None:
            raise _End(0, said=False)
        if shorter := granted.shorter_session(self._settings.session_expiry_s):
            _log.warning("the broker %s %s", self._settings.where, shorter)
        self.complaint = ""
        self._largest_packet = granted.largest_packet
        connection.send(written.subscribe(_SUBSCRIBE, self._filters))
        self._connected.set()
        _log.info("connected to the broker%s", ", session resumed" if answer.session_present else "")
        return answer.properties.get(0x13, self._settings.keepalive_s)

    def _subscribed(self, answer: Suback) -> None:
        for topic_filter, code in zip(self._filters, answer.codes, strict=False):  # as many as the broker chose to send
            if code >= reasons.FAILURE:
                who, why = self._settings.identity, reasons.reason(code)
                self._complain(f"the broker refuses {topic_filter} to {who}: it {why}")

    def _ended(self, code: int, *, said: bool) -> None:
        admitted = self.connected
        self._taken_over = said and code == reasons.SESSION_TAKEN_OVER
        self._silent = admitted and reasons.stated(code, said_by_broker=said) is None
        if not self._stopping.is_set():
            why = self._refused or reasons.ended(code, said_by_broker=said, admitted=admitted)
            settings = self._settings
            self._complain(f"the broker {settings.where} ({settings.identity}, id {settings.client_id}) {why}")

    def _complain(self, sentence: str) -> None:
        self.complaint = sentence
        _log.warning(sentence)


def _granted(answer: Connack) -> Granted:
    found = answer.properties
    return Granted(
        largest_packet=found.get(0x27),
        in_flight=found.get(0x21, 65535),
        session_expiry_s=found.get(0x11),
        lacking=reasons.lacking(retain_available=found.get(0x25, 1), maximum_qos=found.get(0x24, 2)),
    )
