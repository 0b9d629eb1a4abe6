"""The fleet in Prometheus' text format 0.0.4, written directly: a client library takes ten times longer.

Devices count and the bridge only carries, so these series are not the bridge's own counters. Label values come from
the wire and are escaped; metric names never do. A device that is not up keeps `edgewise_up 0` and its last-seen
time; its other series end, so that Prometheus marks them stale and no panel shows a frozen value.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, Histogram
from edge_contract.metrics import DeviceCounter, DeviceGauge

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Family(NamedTuple):
    name: str
    help: str


_OTHER_COUNTERS: Final = _Family(
    "edgewise_device_events_total", "Errors by kind, and what else a device counts that has no metric of its own."
)
_OTHER_GAUGES: Final = _Family("edgewise_device_reading", "What a device measures that has no metric of its own.")
_UP: Final = _Family("edgewise_up", "1 while a device is connected and sent something lately.")
_SEEN: Final = _Family("edgewise_last_seen_timestamp_seconds", "When the bridge last received something of a device.")
_SHARED: Final = _Family(
    "edgewise_device_id_shared", "1 where two devices connect with this id in turn: give each its own device.id."
)
_INFO: Final = _Family("edgewise_device_info", "Inventory of a device.")
_MODEL: Final = _Family("edgewise_device_model_info", "The model a device runs.")
_STATE: Final = _Family("edgewise_device_update_info", "How far the model that a device is to run has come.")
_PROGRESS: Final = _Family(
    "edgewise_device_update_progress_ratio", "Share of the bytes of the desired model that a device holds."
)
_EMOTIONS: Final = _Family("edgewise_classified_faces_total", "Faces classified, by the model's answer.")
_STAGE: Final = _Family("edgewise_stage_duration_seconds", "Time per frame by stage, over the devices of a site.")
_DEVICE_STAGE: Final = _Family("edgewise_device_stage_duration_seconds", "Time per frame by stage, device by device.")
_CONFIDENCE: Final = _Family(
    "edgewise_confidence_ratio", "Probability of the winning label, over the devices of a site."
)

_STAGE_LE: Final = (*(f'le="{bound}"' for bound in STAGE_BOUNDS), 'le="+Inf"')
_CONFIDENCE_LE: Final = (*(f'le="{bound}"' for bound in CONFIDENCE_BOUNDS), 'le="+Inf"')


def escape(value: str) -> str:
    """A label value as the text format wants it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


def write(devices: Sequence[Device], sums: Mapping[Key, Sum], now: float, silent_after: float) -> str:
    """The fleet's whole exposition at unix time `now`; `silent_after` as in the settings."""
    labelled = [(each, f'site="{escape(each.site)}",device="{each.id}"') for each in sorted(devices, key=_id)]
    present = [(each, labels) for each, labels in labelled if record.up(each, now, silent_after)]
    present_ids = {each.id for each, _ in present}
    out: list[str] = []
    _simple(out, _UP, "gauge", ((labels, int(each.id in present_ids)) for each, labels in labelled))
    _simple(out, _SEEN, "gauge", ((labels, each.last_seen) for each, labels in labelled if each.last_seen))
    shared = ((labels, 1) for each, labels in labelled if record.is_shared(each, now))
    _simple(out, _SHARED, "gauge", shared)
    _simple(out, _INFO, "gauge", ((f"{labels},{_inventory(each)}", 1) for each, labels in present if each.info))
    _simple(out, _MODEL, "gauge", ((f"{labels},{_model(each)}", 1) for each, labels in present if each.active))
    _simple(out, _STATE, "gauge", ((f"{labels},{_update(each)}", 1) for each, labels in present if each.reported))
    _simple(out, _PROGRESS, "gauge", ((labels, each.reported.progress) for each, labels in present if each.reported))
    counters, gauges = (
        [(each.counters, labels) for each, labels in present],
        [(each.gauges, labels) for each, labels in present],
    )
    _named(out, DeviceCounter, _OTHER_COUNTERS, "counter", "event", counters)
    _named(out, DeviceGauge, _OTHER_GAUGES, "gauge", "reading", gauges)
    _emotions(out, present)
    _device_stages(out, present)
    _sums(out, sums)
    return "".join(out)


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


def _head(out: list[str], family: _Family, kind: str) -> None:
    out.append(f"# HELP {family.name} {family.help}\n# TYPE {family.name} {kind}\n")


def _simple(out: list[str], family: _Family, kind: str, samples: Iterable[tuple[str, float]]) -> None:
    lines = [f"{family.name}{{{labels}}} {value}\n" for labels, value in samples]
    if lines:
        _head(out, family, kind)
        out += lines


def _named(
    out: list[str],
    known: Iterable[DeviceCounter] | Iterable[DeviceGauge],
    other: _Family,
    kind: str,
    label: str,
    devices: Sequence[tuple[Mapping[str, float], str]],
) -> None:
    """One family for each metric with a series of its own, and one with the name as a label for the rest.

    `devices`: the values of each device by name, and its labels.
    """
    named = {metric for metric in known if metric.series}
    for metric in known:
        if metric in named:
            family = _Family(metric.series, metric.help)
            _simple(out, family, kind, ((labels, values[metric]) for values, labels in devices if metric in values))
    rest = (
        (f'{labels},{label}="{escape(name)}"', value)
        for values, labels in devices
        for name, value in values.items()
        if name not in named
    )
    _simple(out, other, kind, rest)


def _emotions(out: list[str], present: Sequence[tuple[Device, str]]) -> None:
    name = _EMOTIONS.name
    _head(out, _EMOTIONS, "counter")
    for each, labels in present:
        for model, counts in each.emotions.items():
            prefix = f'{name}{{{labels},model="{escape(model)}",emotion="'
            out += [f'{prefix}{escape(emotion)}"}} {count}\n' for emotion, count in counts.items()]


def _device_stages(out: list[str], present: Sequence[tuple[Device, str]]) -> None:
    shown = [(each, labels) for each, labels in present if each.stages]
    if not shown:
        return
    _head(out, _DEVICE_STAGE, "histogram")
    for each, labels in shown:
        for model, stages in each.stages.items():
            for stage, histogram in stages.items():
                text = f'{labels},model="{escape(model)}",stage="{escape(stage)}"'
                _histogram(out, _DEVICE_STAGE.name, text, histogram, _STAGE_LE)


def _sums(out: list[str], sums: Mapping[Key, Sum]) -> None:
    ordered = sorted(sums.items())
    _head(out, _STAGE, "histogram")
    for (site, model), total in ordered:
        for stage, histogram in total.stages.items():
            text = f'site="{escape(site)}",model="{escape(model)}",stage="{stage}"'
            _histogram(out, _STAGE.name, text, histogram, _STAGE_LE)
    _head(out, _CONFIDENCE, "histogram")
    for (site, model), total in ordered:
        if total.confidence is not None:
            text = f'site="{escape(site)}",model="{escape(model)}"'
            _histogram(out, _CONFIDENCE.name, text, total.confidence, _CONFIDENCE_LE)


def _histogram(out: list[str], name: str, labels: str, histogram: Histogram, bounds: Sequence[str]) -> None:
    total = 0
    prefix = f"{name}_bucket{{{labels},"
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        out.append(f"{prefix}{bound}}} {total}\n")
    out.append(f"{name}_sum{{{labels}}} {histogram.sum}\n{name}_count{{{labels}}} {total}\n")
