"""From the bytes of a broker to messages and answers: many packets out of one read. Pure.

Rules:
- The first packet is CONNACK, and there is one. What a bridge never asked for (QoS 2, topic aliases, packets that only
  clients send) is malformed, and so is what passes the size that the bridge named.
- What stands before a malformed packet counts; nothing behind it is looked at.
- A message whose topic is no UTF-8 is acknowledged and left out: it is of none of the bridge's topics.

Not here: sockets, and what is to be done about an answer (`connection`).
"""

from typing import Final, NamedTuple

from edge_bridge.mqtt.fields import MalformedError, Properties, length, properties

CONNACK_PROPERTIES: Final = frozenset(
    {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A}
)
_PUBLISH_PROPERTIES: Final = frozenset({0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x26})  # no alias: none was offered
_SUBACK_PROPERTIES: Final = frozenset({0x1F, 0x26})
_DISCONNECT_PROPERTIES: Final = frozenset({0x1C, 0x1F, 0x26})
_DISCONNECT_CODES: Final = frozenset({0x00, 0x04, *range(0x80, 0xA3)})
_OLDER_REFUSALS: Final = range(1, 6)
"""Codes of a CONNACK of MQTT 3.1.1, which has no properties."""


class Arrival(NamedTuple):
    """A message as it came."""

    topic: str
    payload: bytes


class Connack(NamedTuple):
    """The broker's answer to CONNECT."""

    session_present: bool
    code: int
    """0 where it admits this client."""
    properties: Properties


class Suback(NamedTuple):
    """The broker's answer to SUBSCRIBE."""

    number: int
    codes: bytes
    """One a filter, in their order."""


class Pingresp(NamedTuple):
    """The broker is there."""


class Disconnect(NamedTuple):
    """The broker ends the connection."""

    code: int


Answer = Connack | Suback | Pingresp | Disconnect


class Received(NamedTuple):
    """What one read brought."""

    messages: list[Arrival]
    acknowledgements: bytes
    """PUBACK of each message that wants one, in their order."""
    answers: list[Answer]
    malformed: str
    """What is wrong with the packet behind all this; empty where nothing is."""


class Reader:
    """One connection's bytes; see the module."""

    def __init__(self, packet_bytes: int) -> None:
        """`packet_bytes`: the largest packet that is taken, its head not counted."""
        self._most = packet_bytes
        self._rest = bytearray()
        self._wanted = 0
        """Bytes that `_rest` has to hold before it is worth looking at again."""
        self._admitted = False

    def feed(self, data: bytes) -> Received:
        """What these bytes complete; a packet that is cut off waits for the next ones."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return Received([], b"", [], "")
            data, self._rest = bytes(self._rest), bytearray()
        messages: list[Arrival] = []
        acknowledgements: list[bytes] = []
        answers: list[Answer] = []
        at, end, malformed = 0, len(data), ""
        try:
            while (found := self._body(data, at, end)) is not None:
                begin, past = found
                head = data[at]
                if head >> 4 == 3 and self._admitted:
                    _message(data, head, begin, past, messages, acknowledgements)
                else:
                    answer = self._answer(data, head, begin, past)
                    if answer is not None:
                        answers.append(answer)
                at = past
        except MalformedError as error:
            malformed = str(error)
        else:
            self._rest += data[at:]
        return Received(messages, b"".join(acknowledgements), answers, malformed)

    def _body(self, data: bytes, at: int, end: int) -> tuple[int, int] | None:
        """Where the body of the packet at `at` begins and ends; None where it is not all there."""
        self._wanted = 0
        if end - at < 2:
            return None
        # Nearly every length has one or two bytes; the others take the longer way.
        if data[at + 1] < 0x80:
            size, begin = data[at + 1], at + 2
        elif end - at >= 3 and data[at + 2] < 0x80:
            size, begin = (data[at + 1] & 0x7F) | data[at + 2] << 7, at + 3
        else:
            found = length(data, at + 1, end)
            if found is None:
                return None
            size, begin = found
        if size > self._most:
            raise MalformedError(f"a packet of {size} bytes is larger than the {self._most} that are taken")
        if begin + size > end:
            self._wanted = begin + size - at
            return None
        return begin, begin + size

    def _answer(self, data: bytes, head: int, at: int, end: int) -> Answer | None:
        """A packet that is no message; None for one that says nothing to a bridge."""
        if head == 0x20 and not self._admitted:
            found = _connack(data, at, end)
            self._admitted = True
            return found
        if not self._admitted:
            raise MalformedError("the first packet is no CONNACK")
        match head:
            case 0x90 if end - at >= 4:
                _, begin = properties(data, at + 2, end, _SUBACK_PROPERTIES)
                return Suback(int.from_bytes(data[at : at + 2]), data[begin:end])
            case 0xD0 if at == end:
                return Pingresp()
            case 0xE0:
                code = data[at] if end > at else 0
                if code not in _DISCONNECT_CODES:
                    raise MalformedError(f"a DISCONNECT has code {code}, which there is not")
                if end - at > 1:
                    properties(data, at + 1, end, _DISCONNECT_PROPERTIES)
                return Disconnect(code)
            case 0x40:  # of a message that an earlier run of this session published
                return None
        raise MalformedError(f"a packet begins with {head:#04x}, which no broker sends to this client")


def _message(data: bytes, head: int, at: int, end: int, messages: list[Arrival], acknowledgements: list[bytes]) -> None:
    """Read a PUBLISH into both lists."""
    if end - at < 3:
        raise MalformedError("a message has no topic")
    begin = at + 2
    at = begin + (data[at] << 8 | data[at + 1])
    topic = data[begin:at]
    acknowledgement = b""
    if qos := head & 0x06:
        if qos != 0x02:
            raise MalformedError("a message came with a QoS that was not asked for")
        number = data[at : at + 2]
        if at + 2 > end or number == b"\0\0":
            raise MalformedError("a message with QoS 1 has no number")
        at += 2
        acknowledgement = b"@\x02" + number
    if at >= end:
        raise MalformedError("a message is shorter than its topic")
    if data[at]:
        _, at = properties(data, at, end, _PUBLISH_PROPERTIES)
    else:
        at += 1
    if not topic:
        raise MalformedError("a message came with a topic alias, and none was offered")
    if acknowledgement:
        acknowledgements.append(acknowledgement)
    try:
        messages.append(Arrival(str(topic, "utf-8"), data[at:end]))
    except UnicodeDecodeError:
        return


def _connack(data: bytes, at: int, end: int) -> Connack:
    if end - at < 2 or data[at] > 1:
        raise MalformedError("CONNACK is too short, or has a flag that there is not")
    code = data[at + 1]
    if end - at == 2:
        if code not in _OLDER_REFUSALS:
            raise MalformedError("CONNACK has no properties")
        return Connack(session_present=False, code=code, properties={})
    found, past = properties(data, at + 2, end, CONNACK_PROPERTIES)
    if past != end:
        raise MalformedError("CONNACK is longer than its properties")
    return Connack(session_present=bool(data[at]), code=code, properties=found)
