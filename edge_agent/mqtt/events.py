"""What paho's thread tells the link's own."""

from typing import NamedTuple

from edge_mqtt.reasons import Reason


class Connected(NamedTuple):
    """The broker admits this client."""

    session_present: bool


class Subscribed(NamedTuple):
    """The broker's answer to a request for subscriptions: one code a filter."""

    request: int
    codes: list[int]


class Lost(NamedTuple):
    """The connection is gone, or was refused."""

    reason: Reason
    taken_over: bool
    """By another client with the same id: the broker said so."""
    silent: bool
    """It stood, and ended without a word."""


NOT_LOST = Lost(Reason("was not reached", ""), taken_over=False, silent=False)
"""Of an attempt that came to no connection."""


class Arrived(NamedTuple):
    """A message of a subscription."""

    topic: str
    payload: bytes


Event = Connected | Subscribed | Lost | Arrived
