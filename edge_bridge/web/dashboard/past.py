"""The past of a device or a group as bars over time and as a list, worked out of its events. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from edge_bridge.fleet.conditions import state_of
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.timeline import Event
from edge_bridge.web.dashboard.words import moment

DAY_S: Final = 86400.0
SHORTEST_S: Final = 900.0
LISTED: Final = 60
"""Events in the list."""
SEGMENTS: Final = 200
"""Pieces of one bar."""


class Segment(NamedTuple):
    """A piece of a bar: where it begins and how long it is, in per cent of the whole."""

    left: float
    width: float
    state: str
    text: str


class Entry(NamedTuple):
    """A line of the list."""

    time: str
    kind: str
    state: str
    text: str


def beginning(events: Sequence[Event], now: float) -> float:
    """Where the bars begin: a day ago, or with the first event of what is known for less; at least so far back."""
    first = min((each.time for each in events), default=now)
    return max(now - DAY_S, min(first, now - SHORTEST_S))


def segments(events: Sequence[Event], kind: str, begin: float, now: float) -> list[Segment]:
    """The states of one kind between two times; `events` newest first, with the last one before `begin`."""
    changes = sorted((each for each in events if each.kind == kind), key=lambda each: each.time)
    length = now - begin
    if length <= 0:
        return []
    found: list[Segment] = []
    for index, each in enumerate(changes):
        start = max(each.time, begin)
        end = min(changes[index + 1].time if index + 1 < len(changes) else now, now)
        if end <= start:
            continue
        found.append(
            Segment(
                round(100 * (start - begin) / length, 3),
                round(100 * (end - start) / length, 3),
                each.state,
                f"{each.text}, from {moment(each.time)}",
            )
        )
    return found[-SEGMENTS:]


def with_now(events: Sequence[Event], device: Device | None, now: float, silent_after: float) -> list[Event]:
    """The events, and where none tells its presence, since when it is as it is: a bridge tells of changes alone."""
    if device is None or device.info is None or any(each.kind == "presence" for each in events):
        return list(events)
    state = state_of(device, now, silent_after)
    return [*events, Event("device", device.id, min(device.info.started, now), "presence", state, state)]


def entries(events: Sequence[Event], begin: float) -> list[Entry]:
    """What happened since `begin`, newest first."""
    return [Entry(moment(each.time), each.kind, each.state, each.text) for each in events if each.time >= begin][
        :LISTED
    ]
