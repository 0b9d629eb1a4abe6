"""What a setting must be, in words: msgspec tells the rule that a value breaks in types, signs and regular expressions.

A pattern is told by the `description` beside it in its `Meta`, a choice by what may be chosen.
"""

import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

import msgspec

_KINDS: Final = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "array": "a list",
    "object": "a section", "path": "a path", "null": "nothing", "date": "a date", "datetime": "a date and time",
    "time": "a time", "bytes": "bytes",
    # As Python calls what a hook was given.
    "list": "a list", "dict": "a section", "NoneType": "nothing",
}  # fmt: skip
_BOUNDS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(?: (of length )?(>=|<=|>|<) ([-+.\de]+))?\Z")
_MATCHING: Final = re.compile(r"Expected `str` matching regex (.*)\Z", re.DOTALL)
_LACKING: Final = re.compile(r"Object missing required field `([^`]+)`\Z")


def broken_rule(error: msgspec.ValidationError, kind: Any) -> tuple[str, str]:
    """The key, such as "broker.port" or "groups[0]", and what its value must be, of a `kind` that msgspec refused."""
    what, _, where = str(error).partition(" - at `$")
    key = where.removesuffix("`").lstrip(".")
    return key, _in_words(what, _hint_at(kind, key))


def _in_words(what: str, hint: Any) -> str:
    if found := _EXPECTED.match(what):
        wanted, got, length, sign, bound = found.groups()
        if (wanted, got) == ("int", "float"):
            return "must be a whole number, without a fraction"
        if length and (sign, bound) == (">=", "1"):
            return "must not be empty"
        text = f"must be {_kind(wanted)}"
        if sign:
            number = bound.removesuffix(".0")
            counted = ("characters" if wanted == "str" else "entries") if length else ""
            text += f" of {_BOUNDS[sign]} {number} {counted}".rstrip() if length or "=" in sign else ""
            text += "" if length or "=" in sign else f" {_BOUNDS[sign]} {number}"
        return text + (f", not {_kind(got)}" if got else "")
    if found := _MATCHING.match(what):
        told = (meta.description for meta in _metas(hint) if repr(meta.pattern) == found[1])
        return f"must be {next(filter(None, told), 'a text of another form')}"
    if what.startswith("Invalid enum value"):
        given = what.removeprefix("Invalid enum value").strip()
        choices = ", ".join(map(str, _choices(hint)))
        return f"must be one of {choices}, not {given}" if choices else f"cannot be {given}"
    if found := _LACKING.match(what):
        return f"lacks `{found[1]}`"
    if what == "Number out of range":
        return "must be a number of ordinary size"
    return f"cannot be used: {what[:1].lower()}{what[1:]}"


def _kind(names: str) -> str:
    return " or ".join(_KINDS.get(name, f"`{name}`") for name in names.split(" | "))


def _hint_at(kind: Any, key: str) -> Any:
    """The type of `key` in `kind`; None where it cannot be found."""
    hint = kind
    for part in re.findall(r"[^.\[\]]+|\[[^\]]*\]", key):
        if part.startswith("["):
            hint = next(iter(typing.get_args(_bare(hint))), None)
            continue
        try:
            hint = typing.get_type_hints(_bare(hint), include_extras=True).get(part)
        except TypeError:
            return None
    return hint


def _bare(hint: Any) -> Any:
    """The type itself, where it is described or may also be nothing."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next((_bare(part) for part in typing.get_args(hint) if part is not types.NoneType), hint)
    return hint


def _metas(hint: Any) -> Iterator[msgspec.Meta]:
    if typing.get_origin(hint) is typing.Annotated:
        yield from (each for each in typing.get_args(hint)[1:] if isinstance(each, msgspec.Meta))
    for part in typing.get_args(hint):
        if typing.get_origin(part) is not None:
            yield from _metas(part)


def _choices(hint: Any) -> tuple[Any, ...]:
    bare = _bare(hint)
    return typing.get_args(bare) if typing.get_origin(bare) is typing.Literal else ()
