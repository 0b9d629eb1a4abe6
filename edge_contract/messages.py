"""The JSON messages on the wire, as frozen structs: `encode` and `decode` are the only way in and out.

Readers accept fields they do not know (a newer sender) and refuse a missing field, a wrong type or a number out of
range by name. The topic's `edgewise/v1` is the major version: a different major is a different topic. Nothing here
can carry an image. Times are seconds since 1970 (UTC) by the sender's clock, durations are seconds.

Order and loss: every telemetry and prediction message has a key `(session, sequence)`. A session is one run of the
agent; its number grows with every start. The sequence grows within the device's spool. `oldest` is the key of the
oldest message the device still holds, so the bridge knows that nothing before it will come any more, and may
acknowledge up to the first gap after it. Sequences begin at 1, and `oldest` never has a higher one than the message.
"""

import base64
from collections.abc import Iterable
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, json

from edge_contract import limits
from edge_contract.errors import MessageError
from edge_contract.finite import no_number
from edge_contract.topics import ID_PATTERN, SHA256_PATTERN
from edge_contract.update_state import UpdateState

Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Sha256 = Annotated[str, Meta(pattern=SHA256_PATTERN)]
LARGEST: Final = 2**63 - 1
"""The largest whole number that every reader and database of the fleet can hold."""

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=2**37)]
"""A time or a duration. The bound is the year 6325: a time in milliseconds passes it, and every calendar holds it."""
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=2**53)]
"""A sum of what was observed; small enough that any number of them added up stays finite."""
Reading = Annotated[float, Meta(ge=-(2**53), le=2**53)]
"""What a gauge shows; up to here a whole number is exact in a float."""
Edge = Annotated[float, Meta(ge=-1000, le=1000)]
"""One side of a box, as a share of the frame: a face may reach past the frame, not far past it."""
Label = Annotated[str, Meta(min_length=1, max_length=64)]
LabelCounts = Annotated[dict[Label, Count], Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=1024)]
Key = tuple[Count, Count]
"""(session, sequence)"""

Stage = Literal["capture", "detect", "preprocess", "invoke", "publish", "whole"]
STAGES: Final[tuple[Stage, ...]] = ("capture", "detect", "preprocess", "invoke", "publish", "whole")

STAGE_BOUNDS: Final = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0
)  # fmt: skip
"""Upper bounds, in seconds, of a stage's latency buckets; one more bucket counts what is slower."""

CONFIDENCE_BOUNDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Upper bounds of the confidence buckets; one more bucket counts up to 1."""


# `gc=False` throughout: what is frozen and comes from JSON has no circles, and a bridge holds a million of these.
class Message(Struct, frozen=True, kw_only=True, gc=False):
    """What every message has in common."""


class ModelRef(Struct, frozen=True, kw_only=True, gc=False):
    """Which release: the digest is that of the model's file, and the release's manifest says what its answers mean."""

    name: Id
    release: Count
    digest: Sha256


class Availability(Message, frozen=True, kw_only=True):
    """Retained, and the device's last will. `session` keeps an old will from burying a new connection."""

    state: Literal["online", "offline", "stopped"]
    session: Count
    taken_over: Seconds = 0.0
    """When another client of the same id last took this run's connection, most likely; 0 for never. See `shared_id`."""


class Info(Message, frozen=True, kw_only=True):
    """Retained inventory of a device, published again on every connect."""

    device: Id
    site: Id
    groups: Annotated[tuple[Id, ...], Meta(max_length=16)]
    session: Count
    agent: Text
    board: Text
    os: Text
    python: Text
    runtime: Text
    camera: Text
    camera_kind: Annotated[str, Meta(max_length=32)] = ""
    """How pictures come: `v4l2`, `picamera`, `mjpeg`, `rtsp`, `file`, `drawn`; empty from an earlier agent."""
    started: Seconds


class Reported(Message, frozen=True, kw_only=True):
    """Retained: which model runs here, and how far the desired one has come."""

    device: Id
    session: Count
    active: ModelRef | None
    state: UpdateState
    target: ModelRef | None = None
    """The release that `state` is of; None while idle."""
    revision: Count = 0
    """The newest desired-state revision this device accepted."""
    progress: Share = 0.0
    """Share of the target's bytes held, 0 to 1."""
    reason: Text = ""
    """Why a target was rejected or rolled back, or what it waits for: one sentence."""
    since: Seconds = 0.0
    """When `state` was reached, kept through restarts; 0 from an earlier agent."""
    time: Seconds


class Histogram(Struct, frozen=True, kw_only=True, gc=False):
    """Counts since the session began, one per bucket (not summed up), and the sum of all observed values."""

    counts: Annotated[tuple[Count, ...], Meta(max_length=64)]
    sum: Amount


class ShadowCounts(Struct, frozen=True, kw_only=True, gc=False):
    """Two models on the same crops of faces: counts since the session began, or since this pair was first compared.

    Looks at one face are spaced by the wave's terms. There is no field an image would fit in.
    """

    champion: ModelRef
    """The model that answers."""
    challenger: ModelRef
    looks: Count
    """Compared: both answered."""
    failures: Count
    """Looks at which the champion answered and the challenger gave no answer; not part of `looks`."""
    skipped: Count
    """Looks that were due and left out because the board had no time for a second model."""
    agreed: Count
    """Looks at which both named the same label."""
    confusion: Annotated[dict[Label, LabelCounts], Meta(max_length=64)]
    """By the champion's label, then the challenger's. Of models with more labels, the pairs met first."""
    less_sure: Count
    """Looks at which the challenger's top probability was lower by more than the terms' `unsure`."""
    more_sure: Count
    slower: Count
    """Looks at which the challenger took more than the terms' `slower` times as long as the champion."""
    champion_confidence: Histogram
    """Top probability over `CONFIDENCE_BOUNDS`."""
    challenger_confidence: Histogram
    champion_latency: Histogram
    """Seconds from crop to probabilities over `STAGE_BOUNDS`: of the processor, as neighbours take turns with either
    model; by the wall clock where a board counts the former in ticks."""
    challenger_latency: Histogram
    sure: LabelCounts = {}
    """By the champion's label, looks at which its top probability was at least the terms' `sure`. Of models with more
    labels, those met first; an agent from before this was counted sends none."""
    contradicted: LabelCounts = {}
    """Of these, by the same label, looks at which the challenger named another one."""


class TrackCounts(Struct, frozen=True, kw_only=True, gc=False):
    """Face tracks, each counted once, when it is over or has lasted: what a person was called, not what each frame was.

    Counts since the session began, or since this model took over. Frames of one face are so alike that a test over
    them would find a change where there is none.
    """

    model: ModelRef
    answers: Annotated[dict[Label, Histogram], Meta(max_length=64)]
    """By label of the consensus, its confidence over `CONFIDENCE_BOUNDS`. Of models with more labels, those met
    first."""
    sure: Count = 0
    """Tracks whose confidence was at least the manifest's `reference.sure_above`; 0 where it has none."""


class TelemetryBody(Message, frozen=True, kw_only=True):
    """One window, before the spool gives it a key.

    Counters and histograms are cumulative since the session began: a lost window bends no rate.
    """

    device: Id
    site: Id
    start: Seconds
    end: Seconds
    model: ModelRef | None
    counters: Annotated[dict[Label, Count], Meta(max_length=64)]
    """By name: those of `metrics.DeviceCounter`, and what a newer device counts."""
    emotions: Annotated[dict[Label, Count], Meta(max_length=limits.LABELS)]
    """Classified faces by label of the model in use."""
    stages: Annotated[dict[Label, Histogram], Meta(max_length=16)]
    """Latency by stage over `STAGE_BOUNDS`."""
    confidence: Histogram
    """Top probability over `CONFIDENCE_BOUNDS`."""
    gauges: Annotated[dict[Label, Reading], Meta(max_length=64)]
    """By name: those of `metrics.DeviceGauge` that this board can measure, and what a newer device measures."""
    shadow: ShadowCounts | None = None
    """While a release runs in shadow here."""
    tracks: TrackCounts | None = None
    """Once a track was counted; an earlier agent sends none."""


class Telemetry(TelemetryBody, frozen=True, kw_only=True):
    """One window, as it is sent."""

    session: Count
    sequence: Count
    oldest: Key


class PredictionBody(Message, frozen=True, kw_only=True):
    """What changed on screen: the consensus of one face track, before the spool gives it a key.

    There is no field an image would fit in.
    """

    device: Id
    site: Id
    time: Seconds
    track: Count
    label: Label
    confidence: Share
    probabilities: Annotated[tuple[Share, ...], Meta(max_length=limits.LABELS)]
    """In the order of the model's labels."""
    box: tuple[Edge, Edge, Edge, Edge]
    """Left, top, width, height as shares of the frame's width and height."""
    model: ModelRef
    latency: Seconds
    """From the frame in memory to this message handed to the link."""


class Prediction(PredictionBody, frozen=True, kw_only=True):
    """A consensus, as it is sent."""

    session: Count
    sequence: Count
    oldest: Key


class Ack(Message, frozen=True, kw_only=True):
    """Bridge to device: everything up to and including this key is stored durably."""

    session: Count
    sequence: Count


class Need(Message, frozen=True, kw_only=True):
    """Device to release side: chunks of a blob it waits for in vain. `missing` is base64 of a bitmap, bit 0 first."""

    device: Id
    digest: Sha256
    missing: Annotated[str, Meta(max_length=limits.MODEL_BYTES // limits.CHUNK_BYTES)]

    @classmethod
    def of(cls, device: str, digest: str, chunks: Iterable[int]) -> "Need":
        """Name the chunks, counted from 0."""
        bits = sum(1 << chunk for chunk in set(chunks))
        bitmap = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
        return cls(device=device, digest=digest, missing=base64.b64encode(bitmap).decode())

    def chunks(self) -> list[int]:
        """The chunks named, ascending.

        Raises:
            MessageError: `missing` is not base64.
        """
        try:
            bits = int.from_bytes(base64.b64decode(self.missing, validate=True), "little")
        except ValueError as error:
            raise MessageError(f"the bitmap of missing chunks from {self.device} is not base64: {error}.") from error
        return [chunk for chunk in range(bits.bit_length()) if bits >> chunk & 1]


class Command(Message, frozen=True, kw_only=True):
    """Release side to device, signed like a desired state; `name` says what to do."""

    name: Literal["identify", "selftest", "rollback", "restart", "set-config"]
    arguments: dict[str, str | int | float | bool] = {}


class CommandResult(Message, frozen=True, kw_only=True):
    """The device's answer to a command."""

    ok: bool
    detail: Text


class TrustIndex(Message, frozen=True, kw_only=True):
    """Untrusted hint of the newest metadata versions: it only saves waiting for what does not exist."""

    root: Count
    snapshot: Count
    targets: Count


M = TypeVar("M", bound=Struct)


def encode(message: Message) -> bytes:
    """The message's JSON.

    Raises:
        MessageError: the message is larger than `limits.MESSAGE_BYTES`, or holds an infinity or what is no number.
    """
    data = json.encode(message)
    if place := no_number(data, message):
        raise MessageError(f"{place} of a {type(message).__name__} message is no finite number, and is not sent.")
    if len(data) > limits.MESSAGE_BYTES:
        raise MessageError(
            f"a {type(message).__name__} message of {len(data)} bytes passes the limit of {limits.MESSAGE_BYTES}",
            remedy="send less in one message",
        )
    return data


def decode(data: bytes, kind: type[M]) -> M:
    """Read a message of this kind; fields this version does not know are ignored.

    Raises:
        MessageError: too large, not JSON, or not what `kind` promises; the text names the field.
    """
    if len(data) > limits.MESSAGE_BYTES:
        raise MessageError(f"a {kind.__name__} message of {len(data)} bytes passes the limit and was not read.")
    try:
        return json.decode(data, type=kind)
    except (ValidationError, ValueError, RecursionError) as error:  # ValueError: msgspec.DecodeError and bad UTF-8
        raise MessageError(f"this is no {kind.__name__} message: {error}.") from error
