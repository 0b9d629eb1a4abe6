"""What is wrong with one device, worked out of its record: each kind once, the worst first. Pure.

One rule for the dashboard's first screen, its filters, and a device's past. Prometheus' alerts look at series over time
and so know more; what is here is what one record shows.
"""

import enum
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from edge_bridge.fleet import record
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.record import Device
from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import throttling
from edge_contract.update_state import REFUSED
from edge_contract.visible import visible

FROZEN_S: Final = 30.0
"""The very same picture for so long is no live camera's."""
DARK: Final = 0.03
"""Mean brightness under which there is nothing to see: a cap on the lens, or a room without light."""
FLAT: Final = 0.02
"""Contrast under which there is nothing to see, however bright."""
WAITS_S: Final = 300.0
"""Messages that wait longer to be acknowledged are not on their way, though the device is connected."""
SKEW_S: Final = 60.0
"""A clock that is off by more puts predictions at wrong times, and may take lists that have ended for valid ones."""
ENDS_S: Final = 14 * 86400.0
"""A certificate or signed list that ends within this time is named."""


class Kind(enum.StrEnum):
    """What may be wrong, the worst first; the value stands in addresses."""

    text: str
    """After a number of devices: "3 devices …"."""

    def __new__(cls, name: str, text: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.text = text
        return member

    OFFLINE = "offline", "offline"
    SILENT = "silent", "connected and silent"
    SHARED = "shared-id", "sharing an id"
    FROZEN = "frozen", "with a frozen camera"
    BLIND = "blind", "with a dark or covered camera"
    NO_FRAMES = "no-frames", "without pictures"
    REFUSED = "refused", "with a refused update"
    WITHDRAWN = "withdrawn", "on a withdrawn release"
    ENDED = "ended", "with a certificate or list past its end"
    SLOW = "slow", "with slow answers"
    THROTTLED = "throttled", "slowed down by power or heat"
    DRIFT = "drift", "with other answers than they had"
    WAITING = "waiting", "with messages that wait"
    CLOCK = "clock", "with a wrong clock"
    ENDING = "ending", "with a certificate or list that ends soon"
    RESTLESS = "restless", "with too many changes"


RANK: Final = {kind: number for number, kind in enumerate(Kind)}
"""0 is the worst."""
GONE: Final = frozenset({Kind.OFFLINE, Kind.SILENT})
"""Of a device that is gone nothing else is told: its other values are of the past."""


# Looked up for ten thousand devices every few seconds: an enumeration's own names would be found anew each time.
_FROZEN, _FPS = DeviceGauge.FROZEN_SECONDS, DeviceGauge.FPS
_BRIGHTNESS, _CONTRAST = DeviceGauge.BRIGHTNESS, DeviceGauge.CONTRAST
_THROTTLED, _ACK_LAG = DeviceGauge.THROTTLED, DeviceGauge.ACK_LAG_SECONDS
_ENDS: Final = (
    (DeviceGauge.CERTIFICATE_EXPIRES, "its certificate"),
    (DeviceGauge.TRUST_EXPIRES, "a signed list that it holds"),
)
_OFFLINE: Final = "its connection broke off without a word: no power, no network, or it crashed"


class Condition(NamedTuple):
    """One thing that is wrong."""

    kind: Kind
    text: str
    """What holds, without the device's name, as it goes on after a colon."""


class Rule(NamedTuple):
    """What the settings say of it."""

    silent_after: float
    slow_s: float


def conditions(device: Device, now: float, rule: Rule, withdrawn: Collection[str] = ()) -> tuple[Condition, ...]:
    """What is wrong at unix time `now`. `withdrawn`: digests of releases that are not to run any more."""
    found: list[Condition] = []
    state = state_of(device, now, rule.silent_after)
    if state == "offline":
        found.append(Condition(Kind.OFFLINE, _OFFLINE))
    elif state == "silent":
        found.append(
            Condition(Kind.SILENT, f"it is connected and has sent nothing for {rule.silent_after:.0f} s and more")
        )
    if record.is_shared(device, now):
        found.append(Condition(Kind.SHARED, "two devices connect with this id in turn: give each its own device.id"))
    if state == "online":
        _of_pictures(device.gauges, found)
    _of_model(device, withdrawn, found)
    if state == "online":
        _of_board(device, now, rule, found)
    if record.is_restless(device, now):
        found.append(
            Condition(Kind.RESTLESS, "it changes model or inventory too often: what was accepted last is shown")
        )
    return tuple(found)


def state_of(device: Device, now: float, silent_after: float) -> str:
    """Its presence, with `silent` for one that is connected and has sent nothing for too long."""
    if device.presence == "online" and not record.up(device, now, silent_after):
        return "silent"
    return device.presence


def _of_pictures(gauges: Mapping[str, float], found: list[Condition]) -> None:
    if (frozen := gauges.get(_FROZEN, 0.0)) >= FROZEN_S:
        found.append(Condition(Kind.FROZEN, f"its camera has delivered the very same picture for {span(frozen)}"))
    if (brightness := gauges.get(_BRIGHTNESS, 1.0)) < DARK:
        found.append(Condition(Kind.BLIND, f"its pictures are dark (brightness {brightness:.0%})"))
    elif gauges.get(_CONTRAST, 1.0) < FLAT:
        found.append(Condition(Kind.BLIND, "its pictures show one even surface, as of a covered lens"))
    if gauges.get(_FPS, 1.0) <= 0.0:
        found.append(Condition(Kind.NO_FRAMES, "no picture comes from its camera"))


def _of_model(device: Device, withdrawn: Collection[str], found: list[Condition]) -> None:
    reported = device.reported
    if reported is not None and reported.state in REFUSED:
        because = f": {visible(reported.reason).rstrip('.')}" if reported.reason else ""
        found.append(Condition(Kind.REFUSED, f"{record.short(reported.target)} {reported.state.text}{because}"))
    if withdrawn and (active := device.active) is not None and active.digest in withdrawn:
        found.append(Condition(Kind.WITHDRAWN, f"it runs {record.short(active)}, which was withdrawn"))


def _of_board(device: Device, now: float, rule: Rule, found: list[Condition]) -> None:
    gauges = device.gauges
    for gauge, what in _ENDS:
        if (end := gauges.get(gauge, 0.0)) and end - now < ENDS_S:
            over = end <= now
            day = datetime.fromtimestamp(min(max(end, 0.0), 2.0**37), UTC)
            words = "ended" if over else "ends"
            text = f"{what} {words} on {day:%Y-%m-%d %H:%M} UTC"
            found.append(Condition(Kind.ENDED if over else Kind.ENDING, text))
    if (skew := device.clock_skew) is not None and abs(skew) >= SKEW_S:
        where = "ahead of" if skew > 0 else "behind"
        found.append(Condition(Kind.CLOCK, f"its clock is {span(abs(skew))} {where} the bridge's"))
    p95 = quantile(device.latency, 0.95)
    if p95 is not None and p95 > rule.slow_s:
        text = f"95 % of its frames take up to {p95 * 1000:.0f} ms, more than {rule.slow_s * 1000:.0f}"
        found.append(Condition(Kind.SLOW, text))
    if (mask := gauges.get(_THROTTLED, 0)) and (slowed := throttling(mask).now):
        found.append(Condition(Kind.THROTTLED, f"its board slows itself down: {', '.join(slowed)}"))
    if (lag := gauges.get(_ACK_LAG, 0.0)) >= WAITS_S:
        found.append(Condition(Kind.WAITING, f"its oldest message has waited {span(lag)} to be acknowledged"))


def span(seconds: float) -> str:
    """A length of time for people."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
