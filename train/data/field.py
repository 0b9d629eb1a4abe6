"""Labelled faces that devices sent, as `edgewise labels export --folder` leaves them: `labels.csv`, `pictures/` and
`tombstones.csv`.

The folder is another program's, and its rows began on devices: each is checked here once. A row that cannot be used
becomes a `Problem`; what a tombstone covers is left out, whatever the pictures folder still holds. A face, which is
a device's track, stands in one split alone, decided by a hash: labels that come later move no face to another side.

Not here: which of these rows are trained on beside the base data (`field_rows`).
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import read_file, read_text
from edge_contract.crop import Stratum
from edge_contract.errors import UsageError
from edge_contract.topics import ID_PATTERN
from edge_contract.visible import visible
from train.data.rows import FIELD, SELECTION, TRAIN, PictureFormat, Problem, decoded, fitted

LABELS: Final = "labels.csv"
TOMBSTONES: Final = "tombstones.csv"
PICTURES: Final = "pictures"
MOST_ROWS: Final = 1_000_000
MOST_DEVICES: Final = 60_000
"""`origin` is stored as two bytes."""
HEADER: Final = (
    "picture", "label", "device", "taken", "track", "stratum", "inclusion", "model", "answer", "annotators",
)  # fmt: skip
ERASED: Final = ("device", "from", "until")
BY_CHANCE: Final = "random"
_PICTURE: Final = re.compile(r"(?:pictures/)?([A-Za-z0-9][A-Za-z0-9_.-]{0,127}?)(?:\.png)?\Z")
_PICTURE_BYTES: Final = 1 << 20
"""A crop has at most 128 pixels a side: 48 KiB before it is compressed."""
_LONGEST_FIELD: Final = 4096  # characters
_LATEST: Final = 253_402_300_800.0  # seconds since 1970: the year 10000
_AGAIN: Final = "write it again with `edgewise labels export --folder`"


class Tombstone(NamedTuple):
    """A device's faces taken from `start` until before `end` (seconds since 1970) were erased."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class FieldData:
    """What the folder gave: images uint8 [N,H,W,C], labels [N], splits [N], each row's device and whether chance chose
    it. `erased` counts rows that a tombstone covers, by device."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    split: NDArray[np.uint8]
    devices: list[str]
    chance: NDArray[np.bool_]
    places: list[str]
    problems: list[Problem]
    erased: dict[str, int]
    digest: str


def digest_of(folder: Path) -> str:
    """SHA-256 of the folder's two tables, hexadecimal: another label or erasure gives another.

    Raises:
        UsageError: One of them cannot be read.
    """
    digest = hashlib.sha256()
    for name in (LABELS, TOMBSTONES):
        digest.update(hashlib.sha256(_content(folder / name).encode()).digest())
    return digest.hexdigest()


def read(folder: Path, names: tuple[str, ...], form: PictureFormat, *, selection: float, held_out: float) -> FieldData:
    """Read every usable row whose label is among `names`; pictures of another size are fitted like the base data.

    `selection` and `held_out`: shares of the faces that are for choosing, and that nothing learns from.

    Raises:
        UsageError: A table is missing or is not what an export writes, or a tombstone cannot be read: nothing may
            come back that was erased.
    """
    tombstones = _tombstones(folder / TOMBSTONES)
    digest = hashlib.sha256(digest_of(folder).encode())
    images, labels, splits, devices, chance, places = [], [], [], [], [], []
    problems: list[Problem] = []
    erased: dict[str, int] = {}
    seen: set[str] = set()
    for number, row in enumerate(_rows(folder / LABELS, HEADER), start=2):
        place = f"{folder.name}/{LABELS} row {number}"
        reason = _trouble(row, names, seen)
        if reason:
            problems.append(Problem(place, reason))
            continue
        seen.add(_name(row["picture"]))
        device, taken = row["device"], float(row["taken"])
        if any(one.start <= taken < one.end for one in tombstones.get(device, [])):
            erased[device] = erased.get(device, 0) + 1
            continue
        try:
            content = read_file(folder / PICTURES / f"{_name(row['picture'])}.png", _PICTURE_BYTES)
            images.append(fitted(decoded(content, form), form))
        except OSError as error:
            problems.append(Problem(place, f"its picture cannot be read ({error.strerror})"))
            continue
        except UsageError as error:
            problems.append(Problem(place, f"its picture cannot be read ({error.problem.rstrip('.')})"))
            continue
        digest.update(hashlib.sha256(content).digest())
        labels.append(names.index(row["label"]))
        splits.append(split_of(device, int(row["track"]), selection, held_out))
        devices.append(device)
        chance.append(row["stratum"] == BY_CHANCE)
        places.append(place)
    if len(set(devices)) > MOST_DEVICES:
        raise UsageError(f"{folder} has faces of more than {MOST_DEVICES:,} devices", remedy="export fewer of them")
    return FieldData(
        images=np.stack(images) if images else np.zeros((0, form.height, form.width, form.channels), np.uint8),
        labels=np.array(labels, np.uint8),
        split=np.array(splits, np.uint8),
        devices=devices,
        chance=np.array(chance, bool),
        places=places,
        problems=problems,
        erased=erased,
        digest=digest.hexdigest(),
    )


def split_of(device: str, track: int, selection: float, held_out: float) -> int:
    """Which split all pictures of this face go to: a hash decides, so that it is the same in every export."""
    value = int.from_bytes(hashlib.sha256(f"{device}\0{track}".encode()).digest()[:8], "big") / 2**64
    if value < held_out:
        return FIELD
    return SELECTION if value < held_out + selection else TRAIN


def _trouble(row: dict[str, str], names: tuple[str, ...], seen: set[str]) -> str:
    """Why a row cannot be used; empty for one that can."""
    if not _name(row["picture"]):
        return f"its picture `{visible(row['picture'])[:60]}` is not named as an export names pictures"
    if _name(row["picture"]) in seen:
        return f"its picture {row['picture']} stands there already"
    if row["label"] not in names:
        return f"label `{visible(row['label'])[:60]}` is none of the dataset's ({', '.join(names[:20])})"
    if not re.match(ID_PATTERN, row["device"]):
        return f"`{visible(row['device'])[:60]}` is no device's id"
    if not 0 <= _number(row["taken"]) < _LATEST:
        return f"`{visible(row['taken'])[:60]}` is no time in seconds since 1970"
    if not re.fullmatch(r"[0-9]{1,18}", row["track"]):
        return f"`{visible(row['track'])[:60]}` is no track's number"
    if row["stratum"] not in get_args(Stratum):
        return f"`{visible(row['stratum'])[:60]}` is none of the strata ({', '.join(get_args(Stratum))})"
    if not 0 < _number(row["inclusion"]) <= 1:
        return f"`{visible(row['inclusion'])[:60]}` is no probability above 0"
    return ""


def _number(text: str) -> float:
    """The number, or NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _name(picture: str) -> str:
    """Of a picture, without folder and ending: one word, that leads nowhere else; empty for what is none."""
    found = _PICTURE.match(picture)
    return found[1] if found else ""


def _tombstones(path: Path) -> dict[str, list[Tombstone]]:
    found: dict[str, list[Tombstone]] = {}
    for number, row in enumerate(_rows(path, ERASED), start=2):
        start = _number(row["from"]) if row["from"] else -math.inf
        end = _number(row["until"]) if row["until"] else math.inf
        if not re.match(ID_PATTERN, row["device"]) or math.isnan(start) or math.isnan(end) or end < start:
            raise UsageError(f"{path} row {number} says no device and time that were erased", remedy=_AGAIN)
        found.setdefault(row["device"], []).append(Tombstone(start, end))
    return found


def _rows(path: Path, header: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of one of the tables, each with every column.

    Raises:
        UsageError: It cannot be read, has another header, or a row of another length.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    lines = csv.reader(io.StringIO(_content(path), newline=""), strict=True)
    try:
        first = next(lines, [])
        if tuple(first) != header:
            raise UsageError(f"{path} does not begin with the columns {','.join(header)}", remedy=_AGAIN)
        for number, row in enumerate(lines, start=2):
            if len(row) != len(header) or max(map(len, row)) > _LONGEST_FIELD:
                raise UsageError(f"{path} row {number} has not the {len(header)} columns of its header", remedy=_AGAIN)
            if number > MOST_ROWS:
                raise UsageError(f"{path} has more than {MOST_ROWS:,} rows", remedy="export fewer of them")
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV ({error})", remedy=_AGAIN) from error


def _content(path: Path) -> str:
    try:
        return read_text(path, limits.DOCUMENT_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy=_AGAIN) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text", remedy=_AGAIN) from error
