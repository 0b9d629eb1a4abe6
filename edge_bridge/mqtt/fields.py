"""The parts that packets of MQTT 5 are made of, read within bounds: lengths, texts and properties. Pure."""

from typing import Final

WHOLE: Final = 268_435_455
"""The largest length that four bytes of seven bits hold."""
TEXT_BYTES: Final = 65535
"""The longest text or binary field."""

_NUMBERS: Final = {
    0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x18: 4, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1,
    0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
"""Bytes of each property that is a number of a fixed size."""
_TEXTS: Final = frozenset({0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F})
"""Properties that are one text, or bytes with a length."""
_SUBSCRIPTION: Final = 0x0B
_USER: Final = 0x26
"""The only properties that may stand more than once."""

Properties = dict[int, int]
"""Numbers by identifier; texts are checked for their length and not kept."""


class MalformedError(ValueError):
    """What came is no packet of MQTT 5; the text says what is wrong with it."""


def length(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """A length of one to four bytes and where it ends; None where `end` comes first.

    Raises:
        MalformedError: it goes on past four bytes.
    """
    value = shift = 0
    for place in range(at, min(at + 4, end)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    if end - at >= 4:
        raise MalformedError("a length has no end")
    return None


def properties(data: bytes, at: int, end: int, allowed: frozenset[int]) -> tuple[Properties, int]:
    """The properties that begin with their length at `at`, and where they end; all lies before `end`.

    Raises:
        MalformedError: they pass `end`, or one is none of `allowed`, or stands twice.
    """
    found = length(data, at, end)
    if found is None or found[1] + found[0] > end:
        raise MalformedError("properties are longer than their packet")
    size, at = found
    end = at + size
    numbers: Properties = {}
    seen: set[int] = set()
    while at < end:
        name, at = data[at], at + 1
        if name not in allowed or (name in seen and name not in {_USER, _SUBSCRIPTION}):
            raise MalformedError(f"property {name} does not belong where it stands")
        seen.add(name)
        if (width := _NUMBERS.get(name)) is not None:
            numbers[name] = int.from_bytes(data[at : at + width])
            at += width
        elif name == _SUBSCRIPTION:
            number = length(data, at, end)
            if number is None:
                raise MalformedError("a property has no end")
            at = number[1]
        elif name in _TEXTS:
            at = _past_text(data, at, end)
        else:  # a pair of texts
            at = _past_text(data, _past_text(data, at, end), end)
        if at > end:
            raise MalformedError("a property is longer than the properties")
    return numbers, end


def _past_text(data: bytes, at: int, end: int) -> int:
    if at + 2 > end:
        raise MalformedError("a text has no length")
    return at + 2 + int.from_bytes(data[at : at + 2])


def length_of(value: int) -> bytes:
    """A length as it is written.

    Raises:
        ValueError: it is negative or larger than `WHOLE`.
    """
    if not 0 <= value <= WHOLE:
        raise ValueError(f"{value} is no length of a packet")
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def text_of(value: str | bytes) -> bytes:
    """A text or bytes behind two bytes of length.

    Raises:
        ValueError: it is longer than `TEXT_BYTES`, or is no UTF-8.
    """
    data = value.encode() if isinstance(value, str) else value
    if len(data) > TEXT_BYTES:
        raise ValueError(f"a text of {len(data)} bytes is longer than MQTT carries")
    return len(data).to_bytes(2) + data
