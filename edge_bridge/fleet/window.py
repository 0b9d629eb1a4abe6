"""Windows of telemetry, one compared with the one before it: what happened between them."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Raw, Struct, json

from edge_bridge.fleet import histograms, shadow, tracks
from edge_bridge.fleet.shadow import Pair
from edge_bridge.fleet.tracks import TrackGain
from edge_contract.messages import Count, Histogram, Seconds, Telemetry, TrackCounts


class Window(Struct, frozen=True, gc=False):
    """The newest window of one session: what the next one is compared with. Counts are cumulative."""

    session: Count
    sequence: Count
    end: Seconds
    counters: dict[str, Count]
    emotions: dict[str, Count]
    stages: dict[str, Histogram]
    confidence: Histogram
    tracks: TrackCounts | None = None
    shadow: Pair | None = None
    """Of the two models by their digests."""


class Difference(NamedTuple):
    """What happened between two windows of one session."""

    counters: dict[str, int]
    emotions: dict[str, int]
    stages: dict[str, Histogram]
    """Of those that gained anything."""
    confidence: Histogram
    tracks: TrackGain | None = None
    shadow: Pair | None = None


def held(window: Window) -> Raw:
    """The window as it is kept between two messages: as JSON it takes a fifth of the room."""
    return Raw(json.encode(window))


def read(raw: Raw) -> Window:
    """A window that was held.

    Raises:
        msgspec.MsgspecError: it is none; what this process held is one.
    """
    return json.decode(raw, type=Window)


def window_of(message: Telemetry) -> Window:
    """What of a message is kept for the next comparison."""
    return Window(
        session=message.session,
        sequence=message.sequence,
        end=message.end,
        counters=message.counters,
        emotions=message.emotions,
        stages=message.stages,
        confidence=message.confidence,
        tracks=message.tracks,
        shadow=shadow.pair_of(message.shadow),
    )


def difference(previous: Window | None, message: Telemetry) -> Difference:
    """What happened since `previous`; without one, all that the message counts."""
    compared = shadow.pair_of(message.shadow)
    if previous is None:
        ended = tracks.gained(None, message.tracks)
        return Difference(message.counters, message.emotions, message.stages, message.confidence, ended, compared)
    return Difference(
        _grown(previous.counters, message.counters),
        _grown(previous.emotions, message.emotions),
        histograms.growths(previous.stages, message.stages),
        histograms.growth(previous.confidence, message.confidence),
        tracks.gained(previous.tracks, message.tracks),
        shadow.gained(previous.shadow, compared),
    )


def _grown(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What each counter gained; one that fell was reset, so all it shows is gain."""
    return {name: value - old if value >= (old := before.get(name, 0)) else value for name, value in now.items()}
