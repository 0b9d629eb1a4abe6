"""The devices of the fleet, and sums over them, as samples.

Devices count and the bridge only carries, so these series are not the bridge's own counters. Counters are shown as they
are stored: one that was shown and not stored would fall when a bridge is killed, which Prometheus takes for a restart
from zero. A device that is not up
keeps `edgewise_up 0` and its last-seen time; its other series end, so that Prometheus marks them stale and no panel
shows a frozen value.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from edge_bridge.fleet import record
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_bridge.metrics.text import Bounds, Example, Family, Text, escape
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, Prediction
from edge_contract.metrics import DeviceCounter, DeviceGauge

_OTHER_COUNTERS: Final = Family(
    "edgewise_device_events_total", "Errors by kind, and what else a device counts that has no metric of its own."
)
_OTHER_GAUGES: Final = Family("edgewise_device_reading", "What a device measures that has no metric of its own.")
_UP: Final = Family("edgewise_up", "1 while a device is connected and sent something lately.")
_SEEN: Final = Family("edgewise_last_seen_timestamp_seconds", "When the bridge last received something of a device.")
_STOPPED: Final = Family(
    "edgewise_device_stopped", "1 where a device said that it was stopped in order, and is not back yet."
)
_SHARED: Final = Family(
    "edgewise_device_id_shared", "1 where two devices connect with this id in turn: give each its own device.id."
)
_INFO: Final = Family("edgewise_device_info", "Inventory of a device.")
_MODEL: Final = Family("edgewise_device_model_info", "The model a device runs.")
_STATE: Final = Family("edgewise_device_update_info", "How far the model that a device is to run has come.")
_PROGRESS: Final = Family(
    "edgewise_device_update_progress_ratio", "Share of the bytes of the desired model that a device holds."
)
_EMOTIONS: Final = Family("edgewise_classified_faces_total", "Faces classified, by the model's answer.")
_STAGE: Final = Family("edgewise_stage_duration_seconds", "Time per frame by stage, over the devices of a site.")
_DEVICE_STAGE: Final = Family("edgewise_device_stage_duration_seconds", "Time per frame by stage, device by device.")
_CONFIDENCE: Final = Family(
    "edgewise_confidence_ratio", "Probability of the winning label, over the devices of a site."
)

_TRACKS: Final = Family("edgewise_tracks_total", "Face tracks, each counted once, by the model's answer.")
_SURE: Final = Family(
    "edgewise_tracks_sure_total", "Face tracks whose confidence was at least what the release's reference says."
)
_TRACK_CONFIDENCE: Final = Family(
    "edgewise_track_confidence_ratio",
    "Confidence of a face track's answer, by that answer, over the devices of a site.",
)
_SHADOW: Final = (
    (Family("edgewise_shadow_looks_total", "Looks at which the release in shadow answered too."), "looks"),
    (Family("edgewise_shadow_agreed_total", "Looks at which both models named the same label."), "agreed"),
    (Family("edgewise_shadow_failures_total", "Looks at which the release in shadow gave no answer."), "failures"),
    (Family("edgewise_shadow_skipped_total", "Looks left out because the board had no time for them."), "skipped"),
)
_SKEW: Final = Family(
    "edgewise_clock_skew_seconds", "A device's clock less the bridge's, where messages come at once and it can be told."
)

_STAGES: Final = Bounds.of(STAGE_BOUNDS)
_SHARES: Final = Bounds.of(CONFIDENCE_BOUNDS)


def write(
    devices: Sequence[Device],
    sums: Mapping[Key, Sum],
    now: float,
    silent_after: float,
    *,
    counted: Mapping[str, Device] | None = None,
    newest: Mapping[Key, tuple[Prediction, float]] | None = None,
    openmetrics: bool = False,
) -> str:
    """The fleet's whole exposition at unix time `now`; `silent_after` as in the settings.

    `counted`: the devices whose counters are shown, by id; without them each its own. `newest`: the newest prediction
    of each site and model and when it came, which OpenMetrics shows as examples.
    """
    labelled = [(each, f'site="{escape(each.site)}",device="{each.id}"') for each in sorted(devices, key=_id)]
    present = [(each, labels) for each, labels in labelled if record.up(each, now, silent_after)]
    present_ids = {each.id for each, _ in present}
    out = Text(openmetrics=openmetrics)
    out.family(_UP, "gauge", ((labels, int(each.id in present_ids)) for each, labels in labelled))
    out.family(_SEEN, "gauge", ((labels, each.last_seen) for each, labels in labelled if each.last_seen))
    out.family(_STOPPED, "gauge", ((labels, 1) for each, labels in labelled if each.presence == "stopped"))
    shared = ((labels, 1) for each, labels in labelled if record.is_shared(each, now))
    out.family(_SHARED, "gauge", shared)
    out.family(_INFO, "gauge", ((f"{labels},{_inventory(each)}", 1) for each, labels in present if each.info))
    out.family(_MODEL, "gauge", ((f"{labels},{_model(each)}", 1) for each, labels in present if each.active))
    out.family(_STATE, "gauge", ((f"{labels},{_update(each)}", 1) for each, labels in present if each.reported))
    out.family(_PROGRESS, "gauge", ((labels, each.reported.progress) for each, labels in present if each.reported))
    skews = ((labels, each.clock_skew) for each, labels in present)
    out.family(_SKEW, "gauge", ((labels, round(skew, 3)) for labels, skew in skews if skew is not None))
    counting = (
        present if counted is None else [(counted[each.id], labels) for each, labels in present if each.id in counted]
    )
    _named(
        out, DeviceCounter, _OTHER_COUNTERS, "counter", "event", [(each.counters, labels) for each, labels in counting]
    )
    _named(out, DeviceGauge, _OTHER_GAUGES, "gauge", "reading", [(each.gauges, labels) for each, labels in present])
    _emotions(out, counting)
    _tracks(out, counting)
    _shadow(out, counting)
    _device_stages(out, counting)
    _sums(out, sums, newest or {})
    return str(out)


def _id(device: Device) -> str:
    return device.id


def _inventory(device: Device) -> str:
    info = device.info
    assert info is not None  # noqa: S101  # the caller chose devices that have one
    return ",".join(f'{name}="{escape(value)}"' for name, value in record.inventory(info).items())


def _model(device: Device) -> str:
    model = device.active
    assert model is not None  # noqa: S101  # the caller chose devices that have one
    return f'model="{record.short(model)}",digest="{model.digest[:12]}"'


def _update(device: Device) -> str:
    reported = device.reported
    assert reported is not None  # noqa: S101  # the caller chose devices that have one
    return f'state="{reported.state}",target="{record.short(reported.target)}"'


def _named(
    out: Text,
    known: Iterable[DeviceCounter] | Iterable[DeviceGauge],
    other: Family,
    kind: Literal["counter", "gauge"],
    label: str,
    devices: Sequence[tuple[Mapping[str, float], str]],
) -> None:
    """One family for each metric with a series of its own, and one with the name as a label for the rest.

    `devices`: the values of each device by name, and its labels.
    """
    named = {metric for metric in known if metric.series}
    for metric in known:
        if metric in named:
            family = Family(metric.series, metric.help)
            out.family(family, kind, ((labels, values[metric]) for values, labels in devices if metric in values))
    rest = (
        (f'{labels},{label}="{escape(name)}"', value)
        for values, labels in devices
        for name, value in values.items()
        if name not in named
    )
    out.family(other, kind, rest)


def _emotions(out: Text, counting: Sequence[tuple[Device, str]]) -> None:
    name = _EMOTIONS.name
    out.head(_EMOTIONS, "counter")
    for each, labels in counting:
        for model, counts in each.emotions.items():
            prefix = f'{name}{{{labels},model="{escape(model)}",emotion="'
            out.lines += [f'{prefix}{escape(emotion)}"}} {count}\n' for emotion, count in counts.items()]


def _tracks(out: Text, counting: Sequence[tuple[Device, str]]) -> None:
    tracked = [
        (f'{labels},model="{escape(model)}"', tracks)
        for each, labels in counting
        for model, tracks in each.tracks.items()
    ]
    answers = (
        (f'{labels},label="{escape(label)}"', count)
        for labels, tracks in tracked
        for label, count in tracks.answers.items()
    )
    out.family(_TRACKS, "counter", answers)
    out.family(_SURE, "counter", ((labels, tracks.sure) for labels, tracks in tracked))


def _shadow(out: Text, counting: Sequence[tuple[Device, str]]) -> None:
    pairs = [
        (f'{labels},champion="{escape(pair.champion)}",challenger="{escape(pair.challenger)}"', pair)
        for each, labels in counting
        for pair in each.shadow
    ]
    for family, name in _SHADOW:
        out.family(family, "counter", ((labels, getattr(pair, name)) for labels, pair in pairs))


def _device_stages(out: Text, counting: Sequence[tuple[Device, str]]) -> None:
    shown = [(each, labels) for each, labels in counting if each.stages]
    if not shown:
        return
    out.head(_DEVICE_STAGE, "histogram")
    for each, labels in shown:
        for model, stages in each.stages.items():
            for stage, histogram in stages.items():
                text = f'{labels},model="{escape(model)}",stage="{escape(stage)}"'
                out.histogram(_DEVICE_STAGE.name, text, histogram, _STAGES)


def _sums(out: Text, sums: Mapping[Key, Sum], newest: Mapping[Key, tuple[Prediction, float]]) -> None:
    ordered = [
        (key, f'site="{escape(key.site)}",model="{escape(key.model)}"', total, newest.get(key))
        for key, total in sorted(sums.items())
    ]
    out.head(_STAGE, "histogram")
    for _, labels, total, seen in ordered:
        for stage, histogram in total.stages.items():
            # A prediction says how long it took from the frame to the answer, and no stage of that.
            example = _example(seen, seen[0].latency) if seen is not None and stage == "whole" else None
            out.histogram(_STAGE.name, f'{labels},stage="{stage}"', histogram, _STAGES, example)
    out.head(_CONFIDENCE, "histogram")
    for _, labels, total, seen in ordered:
        if total.confidence is not None:
            example = _example(seen, seen[0].confidence) if seen is not None else None
            out.histogram(_CONFIDENCE.name, labels, total.confidence, _SHARES, example)
    tracked = [(labels, total, seen) for _, labels, total, seen in ordered if total.tracks]
    if tracked:
        out.head(_TRACK_CONFIDENCE, "histogram")
    for labels, total, seen in tracked:
        for label, histogram in total.tracks.items():
            example = _example(seen, seen[0].confidence) if seen is not None and seen[0].label == label else None
            out.histogram(_TRACK_CONFIDENCE.name, f'{labels},label="{escape(label)}"', histogram, _SHARES, example)


def _example(seen: tuple[Prediction, float], value: float) -> Example:
    return Example(seen[0].model.digest, value, seen[1])
