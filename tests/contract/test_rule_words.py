"""A refused value is told what it must be, in words: no type of Python's, no sign and no regular expression."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from edge_contract.rule_words import broken_rule
from edge_contract.setting_types import Count, Id, Seed, Share, Strength, Text, TextOrNone, Threads


class Room(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of each kind of rule."""

    name: Id = "a"
    names: tuple[Id, ...] = ()
    number: Count = 1
    share: Share = 0.0
    above: Annotated[float, Meta(gt=0.5)] = 1.0
    kind: Literal["wide", "high"] = "wide"
    maybe: Text | None = None
    few: Annotated[tuple[int, ...], Meta(max_length=2)] = ()
    many: Annotated[tuple[int, ...], Meta(min_length=1)] = (1,)
    open: bool = False


class House(msgspec.Struct, frozen=True):
    """With a section, and a key that must be there."""

    door: int
    room: Room = Room()


@pytest.mark.parametrize(
    ("values", "key", "rule"),
    [
        ({"name": "A b"}, "room.name", "must be 1 to 64 small letters a-z, digits and hyphens"),
        ({"names": ["a", ""]}, "room.names[...]", "must be 1 to 64 small letters a-z, digits and hyphens"),
        ({"maybe": "a\0b"}, "room.maybe", "must be one line of text of 1 to 4096 characters"),
        ({"maybe": 3}, "room.maybe", "must be a text or nothing, not a whole number"),
        ({"number": 0}, "room.number", "must be a whole number of at least 1"),
        ({"number": True}, "room.number", "must be a whole number, not true or false"),
        ({"number": 1.5}, "room.number", "must be a whole number, without a fraction"),
        ({"number": None}, "room.number", "must be a whole number, not nothing"),
        ({"share": 1.5}, "room.share", "must be a number of at most 1"),
        ({"share": 10**400}, "room.share", "must be a number of ordinary size"),
        ({"share": float("nan")}, "room.share", "must be a number of at least 0"),
        ({"above": 0.5}, "room.above", "must be a number more than 0.5"),
        ({"kind": "low"}, "room.kind", "must be one of wide, high, not 'low'"),
        ({"few": [1, 2, 3]}, "room.few", "must be a list of at most 2 entries"),
        ({"many": []}, "room.many", "must not be empty"),
        ({"open": "yes"}, "room.open", "must be true or false, not a text"),
    ],
)  # fmt: skip
def test_every_rule_has_its_words(values: dict[str, Any], key: str, rule: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"door": 1, "room": values}, House)
    found = broken_rule(caught.value, House)
    assert (found[0].replace("[1]", "[...]"), found[1]) == (key, rule)


def test_a_key_that_is_missing_and_a_section_that_is_none_are_told_too() -> None:
    told = []
    for document in ({}, {"door": 1, "room": 3}, 7):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.convert(document, House)
        told.append(broken_rule(caught.value, House))
    assert told == [
        ("", "lacks `door`"), ("room", "must be a section, not a whole number"),
        ("", "must be a section, not a whole number"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Id, Count, Share, Strength, Seed, Text, TextOrNone, Threads])
@pytest.mark.parametrize(
    "value", [-1, float("nan"), float("inf"), 1e300, 2**70, True, [], {}, "\0", "a\nb", "x" * 5000]
)
def test_no_shared_type_takes_what_no_program_works_with(kind: Any, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)
