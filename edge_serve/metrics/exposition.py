"""The counts as Prometheus' text format 0.0.4, under the names of the bridge's `/metrics`.

So the dashboards and alerts of the fleet show a server as they show a device: its `site` and `device` are settings.
What only a server has begins with `edgewise_serve_`.
"""

import os
import platform
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from edge_contract.manifest import ModelManifest
from edge_contract.messages import STAGES
from edge_contract.metrics import ERRORS, DeviceCounter, DeviceGauge
from edge_contract.version import version
from edge_serve.metrics.counts import Counts, ServeCounts

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Now(NamedTuple):
    """What is read when it is asked for."""

    ready: bool
    connections: int
    waiting: int
    """Requests that wait for a thread."""
    refusals: dict[int, int]
    """Before they were whole requests, by status."""


def write(counts: ServeCounts, now: Now, site: str, name: str) -> bytes:
    """The whole exposition."""
    here = f'site="{site}",device="{name}"'
    out = _Text()
    out.family("edgewise_up", "gauge", "1 while a device is connected and sent something lately.", [(here, 1)])
    out.family(
        "edgewise_last_seen_timestamp_seconds", "gauge", "When the bridge last received something of a device.",
        [(here, round(time.time(), 3))],
    )  # fmt: skip
    info = f'{here},agent="{_escaped(version())}",board="server",python="{platform.python_version()}"'
    out.family("edgewise_device_info", "gauge", "Inventory of a device.", [(info, 1)])
    current = next(reversed(counts.models.values()), None)
    if current is not None:
        labels = f'{here},model="{_model(current.manifest)}",digest="{current.manifest.digest[:12]}"'
        out.family("edgewise_device_model_info", "gauge", "The model a device runs.", [(labels, 1)])
    _counters(out, counts, here)
    for gauge, value in _gauges():
        out.family(gauge.series, "gauge", gauge.help, [(here, value)])
    _models(out, counts, site, here)
    _own(out, counts, now, here)
    return out.text()


def _counters(out: "_Text", counts: ServeCounts, here: str) -> None:
    for counter, value in (
        (DeviceCounter.FRAMES, counts.frames),
        (DeviceCounter.FACES, counts.faces),
        (DeviceCounter.ERRORS, sum(counts.errors.values())),
    ):
        out.family(counter.series, "counter", counter.help, [(here, value)])
    out.family(
        "edgewise_device_events_total", "counter",
        "Errors by kind, and what else a device counts that has no metric of its own.",
        [(f'{here},event="{name}"', counts.errors.get(kind, 0)) for kind, name in ERRORS.items()],
    )  # fmt: skip


def _models(out: "_Text", counts: ServeCounts, site: str, here: str) -> None:
    named = [(each, _model(each.manifest)) for each in counts.models.values()]
    out.family(
        "edgewise_classified_faces_total", "counter", "Faces classified, by the model's answer.",
        [
            (f'{here},model="{model}",emotion="{_escaped(label)}"', count)
            for each, model in named
            for label, count in zip(each.manifest.labels, each.labels, strict=True)
        ],
    )  # fmt: skip
    out.histograms(
        "edgewise_stage_duration_seconds", "Time per frame by stage, over the devices of a site.",
        [
            (f'site="{site}",model="{model}",stage="{stage}"', each.stages[stage])
            for each, model in named
            for stage in STAGES
        ],
    )  # fmt: skip
    out.histograms(
        "edgewise_confidence_ratio", "Probability of the winning label, over the devices of a site.",
        [(f'site="{site}",model="{model}"', each.confidence) for each, model in named],
    )  # fmt: skip


def _own(out: "_Text", counts: ServeCounts, now: Now, here: str) -> None:
    out.family(
        "edgewise_serve_requests_total", "counter", "Requests answered, by route and status.",
        [
            (f'{here},route="{_escaped(route)}",status="{status}"', count)
            for (route, status), count in sorted(counts.requests.items())
        ],
    )  # fmt: skip
    out.family(
        "edgewise_serve_refused_total", "counter", "What was refused before it was a whole request, by status.",
        [(f'{here},status="{status}"', count) for status, count in sorted(now.refusals.items())],
    )  # fmt: skip
    for name, kind, text, value in (
        ("ready", "gauge", "1 while a model answers that answered its known inputs rightly here.", int(now.ready)),
        ("connections", "gauge", "Connections that are open.", now.connections),
        ("waiting", "gauge", "Requests that wait for a thread.", now.waiting),
        ("models_loaded_total", "counter", "Models that were checked and answered from then on.", counts.loaded),
        ("models_refused_total", "counter", "New models that were unfit or could not be had.", counts.not_loaded),
    ):  # fmt: skip
        out.family(f"edgewise_serve_{name}", kind, text, [(here, value)])


def _gauges() -> Iterable[tuple[DeviceGauge, float]]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield DeviceGauge.RSS_BYTES, pages * os.sysconf("SC_PAGE_SIZE")
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = time.clock_gettime(time.CLOCK_MONOTONIC) - _BEGAN
    yield DeviceGauge.CPU_SHARE, round((used.ru_utime + used.ru_stime) / max(seconds, 1.0), 4)


_BEGAN: Final = time.clock_gettime(time.CLOCK_MONOTONIC)


def _model(manifest: ModelManifest) -> str:
    return f"{manifest.name}-{manifest.release}"


class _Text:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def text(self) -> bytes:
        return "".join(self._lines).encode()

    def family(self, name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        """A family of labels and values; nothing where there are no samples."""
        lines = [f"{name}{{{labels}}} {value}\n" for labels, value in samples]
        if lines:
            self._lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
            self._lines += lines

    def histograms(self, name: str, text: str, samples: Iterable[tuple[str, Counts]]) -> None:
        lines = []
        for labels, counts in samples:
            total = 0
            for bound, count in zip((*map(str, counts.bounds), "+Inf"), counts.counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}\n')
            lines.append(f"{name}_sum{{{labels}}} {counts.sum}\n{name}_count{{{labels}}} {total}\n")
        if lines:
            self._lines.append(f"# HELP {name} {text}\n# TYPE {name} histogram\n")
            self._lines += lines


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
