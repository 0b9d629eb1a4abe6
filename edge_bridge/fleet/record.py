"""One device as its messages describe it: a frozen record, and a pure step for each kind of message.

Rules:
- A session is one run of the agent. A higher session supersedes; messages of one that was superseded are ignored, so an
  old last will cannot bury a new connection. A lower session that was never seen is a device that was wiped while its
  clock was behind: it is accepted when it is `online`.
- What a device may invent has a limit of its own for each device: what passes it is counted and not kept.
- Counters are cumulative on the device since its session began. The record adds up differences, so its totals only
  grow: over restarts, over lost windows, over windows of an earlier run that the spool delivers late.

Not here: sums over devices (`state`), what is stored (`storage`), what is acknowledged (`acknowledgement`).
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from edge_bridge.fleet.histograms import merged
from edge_bridge.fleet.totals import added_by_name
from edge_bridge.fleet.window import Difference, Window, difference, window_of
from edge_bridge.settings import LimitSettings
from edge_contract.messages import (
    STAGES,
    Availability,
    Count,
    Histogram,
    Id,
    Info,
    ModelRef,
    Reading,
    Reported,
    Seconds,
    Telemetry,
)
from edge_contract.metrics import DeviceGauge

SESSIONS: Final = 16
"""Superseded sessions a record remembers, to know an old message from a wiped device."""
MODELS: Final = 4
"""Models whose counts by emotion a record keeps; the one used longest ago goes first."""
SHARED_S: Final = 2.5 * 3600.0
"""Two of one id come back once an hour each at least (`edge_mqtt.takeover`)."""
OTHER: Final = "other"
"""The label of what passed a limit."""

_GAUGES: Final = frozenset(DeviceGauge)

V = TypeVar("V")

Presence = Literal["online", "offline", "stopped", "unknown"]


class Device(Struct, frozen=True, kw_only=True):
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
    model: ModelRef | None = None
    """Of the newest window."""
    windows: tuple[Window, ...] = ()
    """The newest window of the two newest sessions, newest first."""
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

    @property
    def active(self) -> ModelRef | None:
        """The model that runs here, by the device's report or else its newest window."""
        return self.reported.active if self.reported is not None and self.reported.active is not None else self.model


def short(model: ModelRef | None) -> str:
    """A model as a label value: `name-release`, or `none`."""
    return f"{model.name}-{model.release}" if model is not None else "none"


def up(device: Device, now: float, silent_after: float) -> bool:
    """Whether the device is connected and sent something within the last `silent_after` seconds."""
    return device.presence == "online" and now - device.last_seen <= silent_after


def is_shared(device: Device, now: float) -> bool:
    """Whether two devices have this id, by what was seen within `SHARED_S`."""
    return device.shared > 0 and now - device.shared <= SHARED_S


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


def informed(device: Device, message: Info, sites: int) -> Device | None:
    """The device's inventory; None from a superseded session. `sites` limits where it may have been."""
    if message.session in device.superseded:
        return None
    return replace(at(device, message.site, sites), info=message)


def at(device: Device, site: str, limit: int) -> Device:
    """The device at this site, or at `other` when it has been at too many."""
    if site in device.sites:
        return device if device.site == site else replace(device, site=site)
    if len(device.sites) >= limit:
        return replace(device, site=OTHER)
    return replace(device, site=site, sites=(*device.sites, site))


def reporting(device: Device, message: Reported) -> Device | None:
    """The state of its model and update; None from a superseded session."""
    return None if message.session in device.superseded else replace(device, reported=message)


class Measured(NamedTuple):
    """A device after a window of telemetry."""

    device: Device
    gained: Difference
    site: str
    """Where the window was cut, or `other`."""
    passed: dict[str, int]
    """Names that were too many, by what they were."""


def measured(
    device: Device, message: Telemetry, now: float, *, histograms: bool, limits: LimitSettings
) -> Measured | None:
    """A window of telemetry; None when a window at least as new is already counted.

    `histograms` keeps latency by stage for this device.
    """
    previous = next((each for each in device.windows if each.session == message.session), None)
    if previous is not None and message.sequence <= previous.sequence:
        return None
    if previous is None and message.session in device.superseded:
        return None  # a session before the last one: its baseline is gone, and counting it again would bend a rate
    late = previous is not None and previous is not device.windows[0]
    superseded = message.session < device.session  # of an earlier run, delivered late by the spool
    device = received(device, message.session, now)
    gained, window = difference(previous, message), window_of(message)
    others = tuple(each for each in device.windows if each.session != message.session)
    windows = (others[0], window) if late else (window, *others[:1])
    model = short(message.model)
    here = at(device, message.site, limits.sites)
    counters, many_counters = added_by_name(device.counters, gained.counters, limits.counters)
    labels, many_labels = added_by_name(device.emotions.get(model, {}), gained.emotions, limits.emotions, OTHER)
    device = replace(
        device,
        site=device.site if superseded and device.site else here.site,
        sites=here.sites,
        windows=windows,
        counters=counters,
        emotions=_last(device.emotions, model, labels),
    )
    many_gauges = 0
    if histograms:
        device = replace(device, stages=_stages_by_model(device.stages, model, gained.stages))
    if not superseded:
        whole = gained.stages.get("whole")
        gauges, readings = _shown(device.readings, message.gauges, limits.counters)
        many_gauges = len(message.gauges) - len(gauges)
        device = replace(
            device,
            model=message.model,
            gauges=gauges,
            readings=readings,
            latency=whole.counts if whole is not None else (),
        )
    passed = {
        "counters": many_counters,
        "emotions": many_labels,
        "gauges": many_gauges,
        "sites": int(here.site != message.site),
    }
    return Measured(device, gained, here.site, passed)


def _succeeded(device: Device, session: int) -> Device:
    past = (device.session, *device.superseded) if device.session else device.superseded
    kept = tuple(each for each in past if each != session)[:SESSIONS]
    return replace(device, session=session, superseded=kept)


def _shown(
    readings: tuple[str, ...], gauges: Mapping[str, float], limit: int
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The gauges of the table, and of the others those whose names were among the first `limit`; these names."""
    known = set(readings)
    for name in gauges:
        if name not in _GAUGES and len(known) < limit:
            known.add(name)
    kept = {name: value for name, value in gauges.items() if name in _GAUGES or name in known}
    return kept, readings if len(known) == len(readings) else tuple(sorted(known))


def _stages_by_model(
    totals: Mapping[str, dict[str, Histogram]], model: str, gains: Mapping[str, Histogram]
) -> dict[str, dict[str, Histogram]]:
    stages = dict(totals.get(model, {}))
    for stage, gain in gains.items():
        if stage not in STAGES:
            continue
        stages[stage] = merged(stages.get(stage), gain)
    return _last(totals, model, stages)


def _last(totals: Mapping[str, V], model: str, value: V) -> dict[str, V]:
    """`totals` with `model` last, and the one used longest ago left out when there are too many."""
    kept = {name: each for name, each in totals.items() if name != model}
    while len(kept) >= MODELS:
        del kept[next(iter(kept))]
    return {**kept, model: value}
