"""The device's connection to the broker: MQTT 5, kept up for ever. In `mqtt` alone is paho known.

Rules:
- One thread of the link's own (its `Worker`) connects, waits and runs every handler, in the order messages came; paho's
  network thread only fills its bounded inbox, so a handler may block (SQLite, fsync) without missing a keep-alive soon.
- Nothing is queued while the broker is away: `publish` says False and the caller says it again after `on_connect`.
  What was in flight when a connection broke is sent again by paho (at least once, never silently lost).
- Sizes are checked against the maximum that this broker announced: one disconnects for more, and paho would send again.
Not here: what is said (`agent`), and what survives a power cut (`spool`).
"""

import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Literal, assert_never

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.mqtt.backoff import LinkState, failures_after, reconnect_wait
from edge_agent.mqtt.client import CONNECT_S, IN_FLIGHT, make_client
from edge_agent.mqtt.events import NOT_LOST, Arrived, Connected, Event, Lost, Subscribed
from edge_agent.mqtt.network import Network, PahoThread
from edge_agent.mqtt.refusals import Refusals
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.mqtt.subscriptions import NOTHING, Handler, Subscriptions, guarded
from edge_agent.turns import Call, MakeWorker, Next, Pause, ThreadWorker, Turns, Worker
from edge_contract import limits
from edge_contract.errors import MessageError
from edge_mqtt import reasons, takeover
from edge_mqtt.granted import Granted

STOP_S: Final = 3.0
"""What `stop` waits for the broker to take what is in flight, and again for the threads."""
INBOX: Final = 256
"""Messages that wait for their handler; when full, paho stops reading and TCP holds the broker back."""
LARGEST_INCOMING: Final = limits.METADATA_BYTES + limits.CHUNK_BYTES
"""What this client announces as its own maximum: the largest metadata file and room for its header."""

_log = logging.getLogger(__name__)


class Link:
    """One MQTT session; see the module."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        clean_start: bool,
        will: tuple[str, bytes] | None = None,
        on_connect: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
        network: Network | None = None,
        worker: MakeWorker = ThreadWorker,
    ) -> None:
        """`will` (topic, payload) is retained by the broker when the connection breaks without `stop`.

        `on_connect` runs on the link's thread after every connect, when all subscriptions hold. `network`, `worker`:
        others than threads of the link's own.

        Raises:
            UsageError: a certificate or key file of the settings cannot be used.
        """
        self._settings, self._clean_start = settings, clean_start
        self._on_connect, self._jitter = on_connect, jitter
        self._network, self._make_worker = network or PahoThread(), worker
        self._worker: Worker[Event] = worker("link", INBOX)
        self._started = False
        self._last_sent: mqtt.MQTTMessageInfo | None = None
        self._refused: reasons.Reason | None = None  # why the broker does not admit this client
        self._rival = takeover.Rival()
        self._lost = NOT_LOST  # how the last connection ended
        self.taken_over = 0.0
        """When another client of the same id last took a connection, most likely: seconds since 1970; 0 for never."""
        self.state, self.connects = LinkState.STOPPED, 0  # how often a connection stood
        self.trouble = self.remedy = ""
        """Why the last attempt failed or the last connection broke, as the end of "the broker …"; what to do."""
        self.refusals = Refusals(f"{client_id} ({settings.identity})")
        """What the broker does not take or give."""
        self.largest_packet: int | None = None
        """The broker's maximum packet size in bytes, from its last CONNACK; None when it named none."""
        self._client = self._make_client(client_id, will)
        self._subscriptions = Subscriptions(self._client)

    @property
    def connected(self) -> bool:
        """Whether a message published now would go out."""
        return self.state is LinkState.CONNECTED

    @property
    def complaint(self) -> str:
        """What keeps messages from the broker, with its remedy, in one sentence; empty while all is well."""
        if self.connected or not self.trouble:
            return str(self.refusals)
        return f"the broker {self._settings.where} {self.trouble}" + (f"; {self.remedy}" if self.remedy else "")

    @property
    def ended(self) -> str:
        """Why no connection will be made any more; empty while the link works, and after `stop`."""
        ended = self._started and not self._worker.alive
        return "the thread of the broker's connection ended: restart the agent." if ended else ""

    def start(self) -> None:
        """Connect and stay connected, in the background."""
        if self._started:
            return
        if self._worker.closed:
            self._worker = self._make_worker("link", INBOX)
        self._worker.start(self._turns)
        self._started = True

    def stop(self) -> None:
        """Let what is in flight out, disconnect politely (no last will) and end; waits a few seconds at most."""
        if not self._started:
            return
        if self.connected and self._last_sent is not None:
            # Brokers acknowledge in the order they received, so the last one stands for all.
            with contextlib.suppress(ValueError, RuntimeError):
                self._last_sent.wait_for_publish(STOP_S)
        self._started = False
        self._worker.close()
        self._worker.join(STOP_S)

    def cut(self) -> None:
        """End without a word, as when the power goes: the broker publishes the last will. For rehearsals."""
        self._started = False
        if (connection := self._client.socket()) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a TCP or a TLS socket
        self._worker.close()  # not before, or it would still say goodbye
        self._worker.join(STOP_S)

    def publish(self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False) -> bool:
        """Hand a message to the connection; False when the broker is away or too much is unacknowledged: say it again.

        Raises:
            MessageError: the message is larger than this broker takes.
        """
        # Fixed header 5, topic length 2, packet id 2, no properties 1: the most that QoS 1 adds.
        size = len(payload) + len(topic.encode()) + 10
        if self.largest_packet is not None and size > self.largest_packet:
            raise MessageError(
                f"a message of {size} bytes to {topic} passes the broker's limit of {self.largest_packet}",
                remedy="raise the broker's maximum packet size",
            )
        if not self.connected:
            return False
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            return False
        self._last_sent = info
        self.refusals.sent(info.mid, topic)
        return True

    def subscribe(self, topic_filter: str, handler: Handler, *, qos: Literal[0, 1] = 1) -> None:
        """Call `handler(topic, payload)` for what matches, on the link's thread; asked for again on every connect."""
        self._subscriptions.add(topic_filter, handler, qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Undo `subscribe`."""
        self._subscriptions.remove(topic_filter)

    def _make_client(self, client_id: str, will: tuple[str, bytes] | None) -> mqtt.Client:
        client = make_client(self._settings, client_id, will)
        client.on_connect = self._connack
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_subscribe = self._suback
        client.on_publish = self._puback
        return client

    # What follows, up to `_turns`, is called on paho's thread and must not block, except to hold the broker back.

    def _connack(
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
            client.disconnect()  # and `_disconnected` says why
            return
        client._max_inflight_messages = min(IN_FLIGHT, granted.in_flight)  # its setter refuses once a socket is open
        shorter = None if self._clean_start else granted.shorter_session(self._settings.session_expiry_s)
        if shorter is not None:
            _log.warning("the broker %s %s", self._settings.where, shorter)
        largest = granted.largest_packet
        if largest is not None and (self.largest_packet is None or largest < self.largest_packet):
            self.refusals.forget()
            client.drop_out_messages()  # one of them may be what this broker would disconnect us for, again and again
        self.largest_packet = largest
        self._worker.put(Connected(flags.session_present))

    def _disconnected(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        said, admitted = flags.is_disconnect_packet_from_server, self._subscriptions.standing or self.connected
        self.state, self._subscriptions.standing = LinkState.WAITING, False
        why = self._refused or reasons.ended(reason.value, said_by_broker=said, admitted=admitted)
        silent = admitted and reasons.stated(reason.value, said_by_broker=said) is None
        self._worker.put(Lost(why, said and reason.value == reasons.SESSION_TAKEN_OVER, silent))

    def _received(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # Edgewise's topics are UTF-8
        self._worker.put(Arrived(topic, bytes(message.payload)))

    def _suback(
        self,
        _client: mqtt.Client,
        _userdata: object,
        request: int,
        answers: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._worker.put(Subscribed(request, [answer.value for answer in answers]))

    def _puback(
        self, _client: mqtt.Client, _userdata: object, number: int, answer: ReasonCode, _properties: Properties | None
    ) -> None:
        self.refusals.answered(number, answer.value)

    def _turns(self) -> Turns:
        failures = 0
        while not self._worker.closed:
            held = yield from self._one_connection()
            failures = failures_after(failures, held)
            self.state = LinkState.WAITING
            yield Pause(self._pause(held) or reconnect_wait(failures, self._jitter()))
        self.state = LinkState.STOPPED

    def _pause(self, held: float) -> float:
        """What a rival with the same id asks for; 0 without one."""
        _, said, silent = self._lost
        if pause := self._rival.ended(stood=held, taken_over=said, silent=silent):
            self.trouble, self.remedy = self._lost.reason if said else takeover.LIKELY
            self.taken_over = time.time()
            _log.warning("%s; back in %g s", self.complaint, pause)
        return pause

    def _one_connection(self) -> Generator[Next | Pause | Call, Any, float]:
        """Connect, serve until it breaks or `stop`, and return for how many seconds it stood."""
        self.state, self._refused, self._lost = LinkState.CONNECTING, None, NOT_LOST
        where = self._settings.where
        if (failed := (yield Call(self._connect))) is not None:
            self.trouble, self.remedy = f"cannot be reached ({failed})", ""
            _log.warning("broker %s cannot be reached (%s); trying again", where, failed)
            return 0.0
        self._network.begin(self._client)
        awaited, stood = None, None
        while not self._worker.closed:
            event: Event | None = yield Next(None if stood is not None else CONNECT_S)
            match event:
                case None if self._worker.closed:
                    break
                case None:
                    self.trouble, self.remedy = f"does not answer within {CONNECT_S:g} s", ""
                    _log.warning("broker %s %s; trying again", where, self.trouble)
                    break
                case Connected(session_present):
                    _log.info("connected to broker %s%s", where, ", session resumed" if session_present else "")
                    awaited = self._subscriptions.ask_for_all()
                    if awaited == NOTHING:
                        stood = self._stand()
                case Subscribed(request, codes):
                    self.refusals.subscribed(self._subscriptions.asked(request), codes)
                    if stood is None and request == awaited:
                        stood = self._stand()
                case Lost():
                    (self.trouble, self.remedy), self._lost = event.reason, event
                    _log.warning("broker %s %s; trying again", where, event.reason)
                    break
                case Arrived(topic, payload):
                    self._subscriptions.dispatch(topic, payload)
                case _:
                    assert_never(event)
        self._hang_up()
        return 0.0 if stood is None else time.monotonic() - stood

    def _connect(self) -> Exception | None:
        """Open the connection, which may take seconds; what is in the way, or None."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if self._clean_start else self._settings.session_expiry_s
        properties.MaximumPacketSize = LARGEST_INCOMING
        try:
            self._client.connect(
                self._settings.host,
                self._settings.port,
                self._settings.keepalive_s,
                clean_start=self._clean_start,
                properties=properties,
            )
        except (OSError, ValueError) as error:  # OSError: also TLS, DNS and timeouts
            return error
        return None

    def _stand(self) -> float:
        """The subscriptions hold: from now on messages go out, and answers to them arrive. Returns when."""
        began = time.monotonic()
        self.connects += 1
        self.state = LinkState.CONNECTED
        guarded(self._on_connect)
        return began

    def _hang_up(self) -> None:
        """End the connection; messages that already arrived still meet their handlers."""
        self._client.disconnect()
        self._network.end(self._client)
        for event in self._worker.left():
            if isinstance(event, Arrived):
                self._subscriptions.dispatch(event.topic, event.payload)
