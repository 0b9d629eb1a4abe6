"""What labels from the field say of one release: how many there are, and how often it was right.

Reads the folder that `edgewise labels export --folder` writes: `labels.csv` and `tombstones.csv`. Only the random
stratum counts, weighted by how probable it was that a face was kept: the other strata are hard faces, and say nothing
of all of them. No device counts for more than its share, so that one camera, whoever stands before it or labels it,
cannot bring a training about.

Not here: pictures, and what a training learns from them.
"""

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.messages import Id, Label, Seconds
from edge_fleet.loop.decide import Labels

ROWS: Final = 1_000_000
_CELL: Final = 4096
_Z: Final = 1.959964  # of 95 %
_FINITE: Final = 2**37


class Row(Struct, frozen=True, gc=False):
    """A labelled face of the random stratum, as far as it is used here."""

    label: Label
    device: Id
    taken: Seconds
    inclusion: Annotated[float, Meta(gt=0, le=1)]
    model: Annotated[str, Meta(min_length=1, max_length=128)]
    answer: Label


class _Tombstone(NamedTuple):
    device: str
    begin: float
    until: float


class Read(NamedTuple):
    """What the folder holds."""

    rows: tuple[Row, ...] = ()
    problem: str = ""
    """Why there are none, or that some cannot be read; a sentence without its full stop."""


def read(folder: Path) -> Read:
    """The labelled faces of the random stratum, without those that were erased; never raises for what is in the files.

    A folder or file that is not there is one without labels.
    """
    try:
        rows, refused = _rows(_table(folder / "labels.csv"))
        erased = _tombstones(folder / "tombstones.csv")
    except FileNotFoundError:
        return Read(problem=f"{folder} has no labels.csv: export some with `edgewise labels export --folder`")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        return Read(problem=f"the labels in {folder} cannot be read ({error})")
    kept = tuple(
        row
        for row in rows
        if not any(each.device == row.device and each.begin <= row.taken < each.until for each in erased)
    )
    return Read(kept, f"{refused} rows of {folder / 'labels.csv'} cannot be read" if refused else "")


def facts(found: Read, model: str, *, wanted: int, device_share: float, expected: float | None) -> Labels:
    """What the rows say of a release NAME-RELEASE. `device_share`: of all that count, at most so many of one device."""
    counted = capped([row for row in found.rows if row.model in _names(model)], device_share)
    low, high = interval(counted)
    return Labels(len(counted), wanted, low, high, expected, found.problem)


def capped(rows: Sequence[Row], share: float) -> list[Row]:
    """The newest rows of each device, so many that no device has more than `share` of them all."""
    by_device: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_device[row.device].append(row)
    sizes = [len(each) for each in by_device.values()]
    most, least = max(sizes, default=0), 0
    while least < most:  # the largest number that holds
        tried = (least + most + 1) // 2
        if tried <= share * sum(min(size, tried) for size in sizes) * (1 + 1e-12):
            least = tried
        else:
            most = tried - 1
    return [row for each in by_device.values() for row in sorted(each, key=lambda row: -row.taken)[:least]]


def interval(rows: Iterable[Row]) -> tuple[float | None, float | None]:
    """The 95 % interval of the share of right answers: Wilson's, with as many rows as the weights are worth."""
    weights = [(1 / row.inclusion, row.label == row.answer) for row in rows]
    total = math.fsum(weight for weight, _ in weights)
    if not weights or not math.isfinite(total):
        return None, None
    right = math.fsum(weight for weight, is_right in weights if is_right) / total
    n = total * total / math.fsum(weight * weight for weight, _ in weights)
    middle = (right + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(right * (1 - right) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _names(model: str) -> tuple[str, ...]:
    name, _, release = model.rpartition("-")
    return model, f"{name} {release}"


def _table(path: Path) -> "csv.DictReader[str]":
    return csv.DictReader(io.StringIO(read_text(path, limits.DOCUMENT_BYTES), newline=""), strict=True)


def _rows(table: "csv.DictReader[str]") -> tuple[list[Row], int]:
    """Those of the random stratum, and how many rows cannot be read."""
    if missing := {"label", "device", "taken", "stratum", "inclusion", "model", "answer"} - set(table.fieldnames or ()):
        raise ValueError(f"labels.csv has no column {', '.join(sorted(missing))}")
    rows, refused = list[Row](), 0
    for count, cells in enumerate(table):
        if count >= ROWS:
            raise ValueError(f"labels.csv has more than {ROWS:,} rows")
        stratum: str | Literal["random"] | None = cells.get("stratum")
        if stratum != "random":
            continue
        try:
            rows.append(msgspec.convert({name: cells.get(name) for name in Row.__struct_fields__}, Row, strict=False))
        except msgspec.ValidationError:
            refused += 1
    return rows, refused


def _tombstones(path: Path) -> list[_Tombstone]:
    if not path.exists():
        return []
    found = []
    for cells in _table(path):
        begin, until = (_number(cells.get(name), default) for name, default in (("from", 0.0), ("until", math.inf)))
        found.append(_Tombstone((cells.get("device") or "")[:_CELL], begin, until))
    return found


def _number(text: str | None, default: float) -> float:
    """A time; the default for none. What cannot be read erases from the beginning, or without end: too much, not too
    little."""
    try:
        value = float(text or default)
    except ValueError:
        return default
    return value if abs(value) <= _FINITE else default
