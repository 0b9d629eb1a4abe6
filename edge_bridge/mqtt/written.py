"""The packets that a bridge sends, as bytes. Pure; not here: when each is sent (`connection`)."""

from collections.abc import Sequence
from typing import Final

from edge_bridge.mqtt.fields import length_of, text_of

PINGREQ: Final = b"\xc0\x00"
_LEVEL: Final = 5
_USER, _PASSWORD = 0x80, 0x40
_FORBIDDEN: Final = ("\0", "+", "#")
"""What no topic of a message may hold."""


def connect(
    *,
    client_id: str,
    username: str | None,
    password: str | None,
    keepalive_s: int,
    session_expiry_s: int,
    receive_maximum: int,
    packet_bytes: int,
) -> bytes:
    """CONNECT that goes on with the session which the broker keeps, or begins one.

    `receive_maximum`: messages in flight to the client; `packet_bytes`: the largest packet it takes.
    """
    flags = (_USER if username is not None else 0) | (_PASSWORD if password is not None else 0)
    limits = (
        b"\x11" + session_expiry_s.to_bytes(4) + b"\x21" + receive_maximum.to_bytes(2) + b"\x27"
        + packet_bytes.to_bytes(4)
    )  # fmt: skip
    head = text_of("MQTT") + bytes([_LEVEL, flags]) + keepalive_s.to_bytes(2)
    account = [text_of(each) for each in (username, password) if each is not None]
    return _packet(0x10, head + length_of(len(limits)) + limits + text_of(client_id) + b"".join(account))


def subscribe(number: int, filters: Sequence[str], qos: int = 1) -> bytes:
    """SUBSCRIBE for all of these, retained messages included; `number` comes back in the answer."""
    wanted = b"".join(text_of(each) + bytes([qos]) for each in filters)
    return _packet(0x82, number.to_bytes(2) + b"\0" + wanted)


def publish(topic: str, payload: bytes) -> bytes:
    """PUBLISH with QoS 0, not retained.

    Raises:
        ValueError: the topic is empty, too long, or one for filters alone.
    """
    if not topic or any(each in topic for each in _FORBIDDEN):
        raise ValueError(f"{topic!r} is no topic of a message")
    name = text_of(topic)
    return b"0" + length_of(len(name) + 1 + len(payload)) + name + b"\0" + payload


def disconnect(code: int = 0) -> bytes:
    """DISCONNECT with a reason code; 0 keeps the session and says no last will."""
    return _packet(0xE0, bytes([code]) if code else b"")


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + length_of(len(body)) + body
