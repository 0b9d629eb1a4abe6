"""Numbers that JSON cannot hold: infinities and NaN would be written as `null` and read by no one as a number again."""

import math
from typing import Any

import msgspec


def no_number(data: bytes, value: object) -> str:
    """Where in `value` stands a number that its JSON `data` lacks, such as "gauges.fps"; empty when nowhere.

    A number that is lost stands as `null`, so most messages are not walked through.
    """
    if b"null" not in data or _all_finite(builtins := msgspec.to_builtins(value)):
        return ""
    return _no_number(builtins, "")


def _all_finite(value: object) -> bool:
    """Whether every number in it is; the usual answer, found without a name for each place."""
    left: list[Any] = [value]
    while left:
        part = left.pop()
        kind = type(part)
        if kind is float:
            if not math.isfinite(part):
                return False
        elif kind is dict:
            left.extend(part.values())
        elif kind is list or kind is tuple:
            left.extend(part)
    return True


def _no_number(value: object, place: str) -> str:
    match value:
        case float():
            return "" if math.isfinite(value) else place.removeprefix(".") or "the value"
        case dict():
            parts = ((f"{place}.{name}", part) for name, part in value.items())
        case list() | tuple():
            parts = ((f"{place}[{number}]", part) for number, part in enumerate(value))
        case _:
            return ""
    return next((found for name, part in parts if (found := _no_number(part, name))), "")
