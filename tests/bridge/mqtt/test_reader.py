"""The bridge's reader of packets: whatever comes in whatever pieces, it is read once or refused, and never an error."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_bridge.mqtt.fields import WHOLE, MalformedError, length, length_of
from edge_bridge.mqtt.reader import Arrival, Connack, Disconnect, Pingresp, Reader, Received, Suback

MOST = 4096
CONNACK = b"\x20\x03\x00\x00\x00"

topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=20)
messages = st.tuples(topics, st.binary(max_size=180), st.integers(0, 1), st.booleans())


def packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + length_of(len(body)) + body


def published(topic: bytes, payload: bytes, *, number: int = 0, properties: bytes = b"\0") -> bytes:
    """PUBLISH, with QoS 1 where it has a number."""
    middle = number.to_bytes(2) if number else b""
    return packet(0x32 if number else 0x30, len(topic).to_bytes(2) + topic + middle + properties + payload)


def with_properties(**values: object) -> bytes:
    """As paho writes them."""
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    packed: bytes = properties.pack()
    return packed


def fed(pieces: Sequence[bytes]) -> Received:
    """All that a new reader made of these, after a broker admitted it."""
    reader = Reader(MOST)
    reader.feed(CONNACK)
    all_of_it = Received([], b"", [], "")
    for piece in pieces:
        found = reader.feed(piece)
        all_of_it = Received(
            all_of_it.messages + found.messages,
            all_of_it.acknowledgements + found.acknowledgements,
            all_of_it.answers + found.answers,
            found.malformed,
        )
        if found.malformed:
            break
    return all_of_it


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 400), max_size=10))
def test_messages_come_in_order_and_are_acknowledged_however_the_bytes_are_cut(
    said: list[tuple[str, bytes, int, bool]], cuts: list[int]
) -> None:
    properties = with_properties(UserProperty=[("a", "b"), ("a", "c")], MessageExpiryInterval=7, ContentType="x")
    data, wanted = b"", b""
    for number, (topic, payload, qos, rich) in enumerate(said, 1):
        data += published(topic.encode(), payload, number=number * qos, properties=properties if rich else b"\0")
        wanted += b"\x40\x02" + number.to_bytes(2) if qos else b""
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    found = fed([each for each in (*pieces, data[at:]) if each])
    assert found == Received([Arrival(topic, payload) for topic, payload, _, _ in said], wanted, [], "")


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
def test_any_bytes_are_packets_or_are_called_malformed(pieces: list[bytes]) -> None:
    found = fed(pieces)
    assert found.malformed or sum(len(each.payload) for each in found.messages) <= sum(map(len, pieces))


@given(st.binary(max_size=60), st.integers(0, 70))
def test_a_changed_byte_ends_in_nothing_but_a_refusal(body: bytes, at: int) -> None:
    data = bytearray(published(b"t/1", b"x", number=3) + packet(0x90, b"\0\x01\0\x01") + published(b"t/2", body))
    data[at % len(data)] ^= 0xFF
    assert isinstance(fed([bytes(data)]), Received)


def test_answers_are_read_beside_messages() -> None:
    found = fed([packet(0x90, b"\0\x01\0\x01\x87") + b"\xd0\0" + published(b"t", b"x") + b"\x40\x02\0\x07" + b"\xe0\0"])
    assert found.answers == [Suback(1, b"\x01\x87"), Pingresp(), Disconnect(0)]
    assert found.messages == [Arrival("t", b"x")]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\x20\x03\x01\x00\x00", Connack(session_present=True, code=0, properties={})),
        (b"\x20\x03\x00\x87\x00", Connack(session_present=False, code=0x87, properties={})),
        (b"\x20\x02\x00\x05", Connack(session_present=False, code=5, properties={})),
        (b"\x20\x08\x00\x00\x05\x27\0\0\x10\0", Connack(session_present=False, code=0, properties={0x27: 4096})),
    ],
    ids=["resumed", "refused", "refused as 3.1.1 does", "with a limit"],
)
def test_the_first_packet_says_whether_and_how_a_client_is_admitted(data: bytes, answer: Connack) -> None:
    assert Reader(MOST).feed(data) == Received([], b"", [answer], "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (published(b"t", b"x", number=1)[:1] + b"\xff\xff\xff\xff\x01", "no end"),
        (b"\x30" + length_of(MOST + 1), "larger than the 4096"),
        (packet(0x34, b"\0\x01t\0\x01\0x"), "QoS"),
        (packet(0x32, b"\0\x01t\0\0\0x"), "no number"),
        (packet(0x30, b"\0\x09t\0x"), "shorter than its topic"),
        (packet(0x30, b"\0\0\0x"), "alias"),
        (published(b"t", b"x", properties=with_properties(TopicAlias=1)), "does not belong"),
        (published(b"t", b"x", properties=b"\x05\x02\0"), "longer"),
        (published(b"t", b"x", properties=b"\x06\x01\x00\x01\x00\x01\x00"), "does not belong"),
        (packet(0x30, b"\0"), "no topic"),
        (CONNACK, "no broker sends"),
        (packet(0x62, b"\0\x01"), "no broker sends"),
        (packet(0xE0, b"\x77"), "there is not"),
    ],
    ids=[
        "a length without end", "too large", "QoS 2", "number 0", "a topic past the end", "no topic", "an alias",
        "properties past the end", "a property twice", "one byte", "CONNACK again", "PUBREL", "an unknown end",
    ],
)  # fmt: skip
def test_what_is_malformed_is_named_and_what_stands_before_it_counts(data: bytes, words: str) -> None:
    found = fed([published(b"before", b"1", number=9) + data])
    assert words in found.malformed
    assert found.messages == [Arrival("before", b"1")]
    assert found.acknowledgements == b"\x40\x02\0\x09"


def test_a_message_before_the_broker_s_answer_is_malformed() -> None:
    assert "first packet" in Reader(MOST).feed(published(b"t", b"x")).malformed


def test_a_topic_that_is_no_text_is_acknowledged_and_left_out() -> None:
    found = fed([published(b"\xff", b"x", number=5)])
    assert (found.messages, found.acknowledgements, found.malformed) == ([], b"\x40\x02\0\x05", "")


@given(st.integers(0, WHOLE))
def test_lengths_are_read_as_they_are_written(value: int) -> None:
    data = length_of(value)
    assert length(data, 0, len(data)) == (value, len(data))
    assert length(data, 0, len(data) - 1) is None


def test_a_length_ends_within_four_bytes() -> None:
    with pytest.raises(MalformedError):
        length(b"\xff\xff\xff\xff\x01", 0, 5)
