"""A window of telemetry added to its device's record.

Counters are cumulative on the device since its session began. The record adds up differences, so its totals only grow:
over restarts, over lost windows, over windows of an earlier run that the spool delivers late. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Raw
from msgspec.structs import replace

from edge_bridge.fleet import clock_skew, shadow, tracks
from edge_bridge.fleet.histograms import merged
from edge_bridge.fleet.label_budget import MODELS, OTHER, LabelBudget, with_models
from edge_bridge.fleet.record import Device, at, ended, is_over, key_of, received, short
from edge_bridge.fleet.settings import LimitSettings
from edge_bridge.fleet.totals import added_by_name
from edge_bridge.fleet.window import Difference, Window, difference, held, window_of
from edge_contract.messages import STAGES, Histogram, ModelRef, Telemetry
from edge_contract.metrics import DeviceGauge

_GAUGES: Final = frozenset(DeviceGauge)

V = TypeVar("V")


class Measured(NamedTuple):
    """A device after a window of telemetry."""

    device: Device
    gained: Difference
    site: str
    """Where the window was cut, or `other`."""
    model: str
    """Its model (short name), or `other`."""
    tracked: str
    """The model of the tracks it gained, in the same way; empty without any."""
    passed: dict[str, int]
    """Names that were too many, by what they were."""


def measured(
    device: Device, message: Telemetry, now: float, *, histograms: bool, limits: LimitSettings
) -> Measured | None:
    """A window of telemetry; None when a window at least as new is already counted.

    `histograms` keeps latency by stage for this device.
    """
    windows = device.windows
    previous = next((each for each in windows if each.session == message.session), None)
    if previous is not None and message.sequence <= previous.sequence:
        return None
    if previous is None and is_over(device, message.session):
        return None  # its baseline is gone, and counting it again would bend a rate
    superseded = message.session < device.session  # of an earlier run, delivered late by the spool
    if message.session != device.session or device.presence == "unknown":
        device = received(device, message.session, now)
    device, kept = _kept(device, windows, window_of(message))
    gained = difference(previous, message)
    passed: dict[str, int] = {}
    labels, model = _label(device.labels, message.model, now, limits)
    known = model != OTHER
    here = at(device, message.site, limits.sites)
    counters, passed["counters"] = added_by_name(device.counters, gained.counters, limits.counters)
    emotions, passed["emotions"] = added_by_name(
        device.emotions.get(model, {}), gained.emotions, limits.emotions, OTHER
    )
    changed: dict[str, Any] = {}
    tracked = ""
    if gained.tracks is not None:
        labels, tracked = _label(labels, gained.tracks.model, now, limits)
        total, many = tracks.with_gain(device.tracks.get(tracked, tracks.Tracks()), gained.tracks, limits.emotions)
        changed["tracks"] = _last(device.tracks, tracked, total)
        passed["emotions"] += many
    if gained.shadow is not None and message.shadow is not None:
        labels, champion = _label(labels, message.shadow.champion, now, limits)
        labels, challenger = _label(labels, message.shadow.challenger, now, limits)
        pair = replace(gained.shadow, champion=champion, challenger=challenger)
        changed["shadow"] = shadow.with_gain(device.shadow, pair)
    if histograms:
        changed["stages"] = _stages_by_model(device.stages, model, gained.stages)
    if not superseded:
        whole = gained.stages.get("whole")
        gauges, readings = _shown(device.readings, message.gauges, limits.counters)
        passed["gauges"] = len(message.gauges) - len(gauges)
        changed |= {
            "model": message.model if known and message.model != device.model else device.model,
            "gauges": gauges,
            "readings": readings,
            "latency": whole.counts if whole is not None else (),
            "clock": clock_skew.observed(device.clock, message, now),
        }
    device = replace(
        device,
        last_seen=now,
        held=kept,
        site=device.site if superseded and device.site else here.site,
        sites=here.sites,
        counters=counters,
        emotions=_last(device.emotions, model, emotions),
        labels=labels,
        restless=device.restless if known else now,
        **changed,
    )
    passed["sites"] = int(here.site != message.site)
    passed["labels"] = int(not known)
    passed = {what: many for what, many in passed.items() if many} if any(passed.values()) else {}
    return Measured(device, gained, here.site, model, tracked, passed)


def _label(labels: LabelBudget, model: ModelRef | None, now: float, limits: LimitSettings) -> tuple[LabelBudget, str]:
    """The budget after this model was named, and the model as a label: `other` where there was no room for it."""
    if model is None:
        return labels, short(None)
    key = key_of(model)
    if key in labels.models:  # nearly always
        return labels, short(model)
    paid = with_models(labels, (key,), now, limits.label_changes)
    return (paid, short(model)) if paid is not None else (labels, OTHER)


def _kept(device: Device, windows: tuple[Window, ...], window: Window) -> tuple[Device, tuple[Raw, ...]]:
    """The windows with which the next of their sessions are compared.

    Two are kept, always that of the session which is on. The session whose window has to go is over: without it, its
    next window would be counted from nothing.
    """
    others = [each for each in windows if each.session != window.session]
    if not others:
        return device, (held(window),)
    first, *others = sorted((window, *others), key=lambda each: each.session != device.session)
    for each in others[1:]:
        device = ended(device, each.session)
    return device, (held(first), *map(held, others[:1]))


def _shown(
    readings: tuple[str, ...], gauges: Mapping[str, float], limit: int
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The gauges of the table, and of the others those whose names were among the first `limit`; these names."""
    if gauges.keys() <= _GAUGES:  # nearly always
        return dict(gauges), readings
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
    if len(totals) == 1 and model in totals:  # nearly always
        return {model: value}
    kept = {name: each for name, each in totals.items() if name != model}
    while len(kept) >= MODELS:
        del kept[next(iter(kept))]
    return {**kept, model: value}
