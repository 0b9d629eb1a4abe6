"""Families of samples as text: Prometheus' format 0.0.4, or OpenMetrics 1.0 where that is asked for.

Written directly: a client library takes ten times longer. Label values come from the wire and are escaped; metric names
never do.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from edge_contract.messages import Histogram

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """A metric's name, a counter's with its `_total`, and what it says."""

    name: str
    help: str


class Example(NamedTuple):
    """One observation of a histogram, for OpenMetrics."""

    digest: str
    """Of the model that answered."""
    value: float
    time: float
    """By the bridge's clock, seconds since 1970."""


class Bounds(NamedTuple):
    """Upper bounds of a histogram's buckets, and as labels, the last of which is `+Inf`."""

    values: Sequence[float]
    labels: Sequence[str]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Bounds":
        """Those that a client library writes for these values."""
        return cls(values, (*(f'le="{value}"' for value in values), 'le="+Inf"'))


class Text:
    """What was written so far. A family is written once, all of its samples together."""

    def __init__(self, *, openmetrics: bool = False) -> None:
        self._openmetrics = openmetrics
        self.lines: list[str] = []
        """Of the family that is being written; a line by itself takes twice the room of its characters."""
        self._families: list[str] = []

    def __str__(self) -> str:
        return "".join((*self._families, *self.lines))

    def head(self, family: Family, kind: Kind) -> None:
        """The lines before a family's samples."""
        self._families.append("".join(self.lines))
        self.lines = []
        name = family.name.removesuffix("_total") if self._openmetrics and kind == "counter" else family.name
        self.lines.append(f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n")

    def family(self, family: Family, kind: Kind, samples: Iterable[tuple[str, float]]) -> None:
        """A family of labels and values; nothing where there are no samples."""
        name = family.name
        lines = [f"{name}{{{labels}}} {value}\n" for labels, value in samples]
        if lines:
            self.head(family, kind)
            self.lines += lines

    def histogram(
        self, name: str, labels: str, histogram: Histogram, bounds: Bounds, example: Example | None = None
    ) -> None:
        """One histogram under its family's head; the example stands at its bucket."""
        total = 0
        prefix = f"{name}_bucket{{{labels},"
        first = len(self.lines)
        for bound, count in zip(bounds.labels, histogram.counts, strict=True):
            total += count
            self.lines.append(f"{prefix}{bound}}} {total}\n")
        if example is not None and self._openmetrics:
            bucket = bisect_left(bounds.values, example.value)
            if histogram.counts[bucket]:  # else the window that counts it has not come yet
                line = self.lines[first + bucket].removesuffix("\n")
                said = f'{{digest="{example.digest}"}} {example.value} {example.time:.3f}'
                self.lines[first + bucket] = f"{line} # {said}\n"
        self.lines.append(f"{name}_sum{{{labels}}} {histogram.sum}\n{name}_count{{{labels}}} {total}\n")


def escape(value: str) -> str:
    """A label value as both formats want it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value
