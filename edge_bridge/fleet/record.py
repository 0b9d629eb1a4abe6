"""One device as its messages describe it: a frozen record, and a pure step for each kind of message but telemetry.

Rules:
- A session is one run of the agent. A higher session supersedes; messages of one that was superseded are ignored, so an
  old last will cannot bury a new connection. A lower session that was never seen is a device that was wiped while its
  clock was behind: it is accepted when it is `online`.
- What a device may invent has a limit of its own for each device: what passes it is counted and not kept.
- An inventory or a report that changes labels too often waits, and what was accepted before it is shown meanwhile.

Not here: windows of telemetry (`measured`), sums over devices (`state`), what is stored (`storage`), what is
acknowledged (`acknowledgement`).
"""

import sys
from typing import Final, Literal

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from edge_bridge.fleet import clock_skew, window
from edge_bridge.fleet.label_budget import HOUR_S, OTHER, LabelBudget, spent, with_models
from edge_bridge.fleet.settings import LimitSettings
from edge_bridge.fleet.shadow import Pair
from edge_bridge.fleet.tracks import Tracks
from edge_bridge.fleet.window import Window
from edge_contract import shared_id
from edge_contract.messages import (
    Availability,
    Count,
    Histogram,
    Id,
    Info,
    ModelRef,
    Reading,
    Reported,
    Seconds,
)

SESSIONS: Final = 16
"""Superseded sessions a record remembers, the highest, to know an old message from a wiped device."""

Presence = Literal["online", "offline", "stopped", "unknown"]


class Device(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one device; a bridge that restarts goes on from here."""

    id: Id
    site: str = ""
    sites: tuple[str, ...] = ()
    """Where it was, in order; at further sites than its limit it is at `other`."""
    groups: Count = 0
    """Sums of which it was the first."""
    presence: Presence = "unknown"
    session: Count = 0
    superseded: tuple[Count, ...] = ()
    last_seen: Seconds = 0.0
    """By the bridge's clock, seconds since 1970."""
    shared: Seconds = 0.0
    """When a superseded session last said that it is online: then two devices have this id. 0 for never."""
    info: Info | None = None
    reported: Reported | None = None
    labels: LabelBudget = LabelBudget()
    waiting_info: Info | None = None
    waiting_reported: Reported | None = None
    """What changed labels too often: taken in once there is room for it."""
    restless: Seconds = 0.0
    """When it last changed its labels too often. 0 for never."""
    model: ModelRef | None = None
    """Of the newest window."""
    held: tuple[Raw, ...] = field(default=(), name="windows")
    """The newest window of its session, and of the other session that sent one last; see `windows`."""
    counters: dict[str, Count] = {}
    emotions: dict[str, dict[str, Count]] = {}
    """By model (short name), by label; the model used last stands last."""
    stages: dict[str, dict[str, Histogram]] = {}
    """By model, by stage; kept only for devices that are shown one by one."""
    gauges: dict[str, Reading] = {}
    readings: tuple[str, ...] = ()
    """Names of gauges it sent that are not in the table, up to its limit."""
    latency: tuple[Count, ...] = ()
    """Frames of the newest window by bucket of `STAGE_BOUNDS`, stage `whole`."""
    tracks: dict[str, Tracks] = {}
    """Face tracks by model (short name); the model used last stands last."""
    shadow: tuple[Pair, ...] = ()
    """What was compared by pair of models (short names), the newest last."""
    clock: tuple[Reading, ...] = ()
    """Its clock less the bridge's at the last arrivals; see `clock_skew`."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """The newest window of its session, and of the other session that sent one last."""
        return tuple(map(window.read, self.held))

    @property
    def clock_skew(self) -> float | None:
        """Seconds that its clock is ahead of the bridge's; None where it cannot be told."""
        return clock_skew.skew(self.clock)

    @property
    def active(self) -> ModelRef | None:
        """The model that runs here, by the device's report or else its newest window."""
        return self.reported.active if self.reported is not None and self.reported.active is not None else self.model


def short(model: ModelRef | None) -> str:
    """A model as a label value: `name-release`, or `none`."""
    return sys.intern(f"{model.name}-{model.release}") if model is not None else "none"


def up(device: Device, now: float, silent_after: float) -> bool:
    """Whether the device is connected and sent something within the last `silent_after` seconds."""
    return device.presence == "online" and now - device.last_seen <= silent_after


def is_shared(device: Device, now: float) -> bool:
    """Whether two devices have this id, by what was seen lately."""
    return shared_id.holds(device.shared, now)


def is_restless(device: Device, now: float) -> bool:
    """Whether it changed its labels too often within the last hour."""
    return device.restless > 0 and now - device.restless <= HOUR_S


def left(device: Device) -> Device:
    """What a device that was taken out of service finds used of its limits when it comes back; its counts are gone."""
    return Device(
        id=device.id,
        sites=device.sites,
        groups=device.groups,
        labels=device.labels,
        restless=device.restless,
        counters=dict.fromkeys(device.counters, 0),
        emotions={model: dict.fromkeys(counts, 0) for model, counts in device.emotions.items()},
        readings=device.readings,
        tracks={model: Tracks(dict.fromkeys(counts.answers, 0)) for model, counts in device.tracks.items()},
    )


def received(device: Device, session: int, now: float) -> Device:
    """A message of this session arrived: it may open a new session."""
    if session > device.session and session not in device.superseded:
        return replace(_succeeded(device, session), presence="online", last_seen=now)
    if session == device.session and device.presence == "unknown":
        return replace(device, presence="online", last_seen=now)
    return replace(device, last_seen=now)


def available(device: Device, message: Availability, now: float) -> Device | None:
    """Whether the device is there, by its own message or its last will; None from a superseded session.

    A session ends with its agent: one that was superseded and is online again is another device of the same id.
    """
    if message.session in device.superseded:
        return replace(device, shared=now) if message.state == "online" else None
    if message.session < device.session and message.state != "online":
        return None  # an older will of a session that was never seen
    if message.session != device.session:
        device = _succeeded(device, message.session)
    # A retained last will is of the past: only a device that is there is seen now.
    seen = now if message.state == "online" or device.presence == "online" else device.last_seen
    return replace(device, presence=message.state, last_seen=seen)


def informed(device: Device, message: Info, now: float, limits: LimitSettings) -> Device | None:
    """The device's inventory; None from a superseded session."""
    if message.session in device.superseded:
        return None
    device = at(device, message.site, limits.sites)
    changes = int(device.info is None or inventory(message) != inventory(device.info))
    labels = spent(device.labels, changes, now, limits.label_changes)
    if labels is None:
        return replace(device, waiting_info=message, restless=now)
    return replace(device, labels=labels, info=message, waiting_info=None)


def inventory(info: Info) -> dict[str, str]:
    """What an inventory says as labels."""
    return {
        "agent": info.agent,
        "board": info.board,
        "os": info.os,
        "python": info.python,
        "runtime": info.runtime,
        "camera": info.camera,
    }


def at(device: Device, site: str, limit: int) -> Device:
    """The device at this site, or at `other` when it has been at too many."""
    if site in device.sites:
        return device if device.site == site else replace(device, site=site)
    if len(device.sites) >= limit:
        return replace(device, site=OTHER)
    return replace(device, site=site, sites=(*device.sites, site))


def reporting(device: Device, message: Reported, now: float, limits: LimitSettings) -> Device | None:
    """The state of its model and update; None from a superseded session."""
    if message.session in device.superseded:
        return None
    models = [key_of(each) for each in (message.active, message.target) if each is not None]
    labels = with_models(device.labels, models, now, limits.label_changes)
    if labels is None:
        return replace(device, waiting_reported=message, restless=now)
    return replace(device, labels=labels, reported=message, waiting_reported=None)


def caught_up(device: Device, now: float, limits: LimitSettings) -> Device:
    """The device with what waited, where there is room for it by now."""
    info, reported = device.waiting_info, device.waiting_reported
    if info is not None:
        device = informed(device, info, now, limits) or replace(device, waiting_info=None)
    if reported is not None:
        device = reporting(device, reported, now, limits) or replace(device, waiting_reported=None)
    return device


def key_of(model: ModelRef) -> str:
    """A model as the budget of labels knows it."""
    return sys.intern(f"{short(model)} {model.digest[:12]}")


def ended(device: Device, session: int) -> Device:
    """The device with this session among those that are over: what else comes of it is of the past.

    When there are too many, the lowest goes; `is_over` still holds for it.
    """
    past = sorted({session, *device.superseded} - {0}, reverse=True)
    return replace(device, superseded=tuple(past[:SESSIONS]))


def is_over(device: Device, session: int) -> bool:
    """Whether windows of this session may have been counted and then forgotten."""
    if session in device.superseded:
        return True
    full = len(device.superseded) >= SESSIONS
    return full and session != device.session and session < min(device.superseded)


def _succeeded(device: Device, session: int) -> Device:
    past = ended(device, device.session)
    return replace(past, session=session, superseded=tuple(each for each in past.superseded if each != session))
