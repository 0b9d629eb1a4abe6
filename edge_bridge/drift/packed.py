"""Rows of numbers as bytes, four each: ten thousand devices keep a few hundred numbers apiece."""

from array import array
from collections.abc import Iterable


def pack(values: Iterable[float]) -> bytes:
    """32-bit floats in this machine's order."""
    return array("f", values).tobytes()


def unpack(data: bytes) -> list[float]:
    """The numbers of `pack`."""
    return array("f", data).tolist()


def zeros(count: int) -> bytes:
    """So many zeros."""
    return bytes(4 * count)
