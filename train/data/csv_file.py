"""fer2013.csv (emotion, pixels, Usage) and FER+'s fer2013new.csv beside it (ten vote columns, same row order)."""

import csv
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.errors import UsageError
from train.data.rows import EMOTIONS, PRIVATE, TEST, TRAIN, PictureFormat, Problem, Rows, fitted
from train.progress import steps

SIDE = 48  # fer2013.csv holds 48x48 grey pictures
USAGES = {"Training": TRAIN, "PublicTest": TEST, "PrivateTest": PRIVATE}
# FER+'s columns in this project's words.
VOTES = {
    "neutral": "neutral", "happiness": "happy", "surprise": "surprise", "sadness": "sad", "anger": "angry",
    "disgust": "disgust", "fear": "fear", "contempt": "contempt", "unknown": "unknown", "NF": "not_a_face",
}  # fmt: skip
_DELIMITERS = (",", ";", "\t")
_LONGEST_HEADER = 65_536  # characters
_LONGEST_ROW = 10_000_000  # characters; pixels of one picture are 8 kB
_TOGETHER = "give the two files that belong together row for row"


def read(path: Path, ferplus: Path | None, form: PictureFormat) -> Rows:
    """Read every usable row; without a column Usage all are training rows, of which the tests are drawn.

    Raises:
        UsageError: A column is missing, FER+ does not fit row for row, or no row can be used.
    """
    votes_by_row = None if ferplus is None else list(_records(ferplus, ["Usage", *VOTES]))
    images, labels, splits, votes, places, problems = [], [], [], [], [], []
    rows = 0
    for row, record in steps(_records(path, ["emotion", "pixels"], ("Usage",)), path.name):
        rows += 1
        place = f"{path.name} row {row}"
        try:
            usage = _usage(record["Usage"]) if "Usage" in record else TRAIN
            if votes_by_row is not None:
                vote = _votes(votes_by_row, row, record.get("Usage"), path, ferplus)
            image, label = _pixels(record["pixels"]), _label(record["emotion"])
            if votes_by_row is not None:
                votes.append(vote)
        except _BadRowError as error:
            problems.append(Problem(place, str(error)))
            continue
        images.append(fitted(image, form))
        labels.append(label)
        splits.append(usage)
        places.append(place)
    if votes_by_row is not None and ferplus is not None and len(votes_by_row) != rows:
        raise UsageError(f"{ferplus} has {len(votes_by_row)} rows, {path} has {rows}", remedy=_TOGETHER)
    if not images:
        first = f"; the first: {problems[0]}" if problems else ""
        raise UsageError(f"{path} has no usable row{first}.")
    return Rows(
        images=np.stack(images),
        labels=np.array(labels, np.uint8),
        split=np.array(splits, np.uint8),
        label_names=EMOTIONS,
        places=places,
        votes=np.array(votes, np.uint8) if votes_by_row is not None else np.empty((len(labels), 0), np.uint8),
        vote_names=tuple(VOTES.values()) if votes_by_row is not None else (),
        resized=[],
        problems=problems,
        digest=_digest([path] if ferplus is None else [path, ferplus]),
    )


class _BadRowError(Exception):
    """This row cannot be used; the text says why."""


def _records(path: Path, columns: list[str], optional: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Row number as a text editor shows it (the header is 1) and the columns that are asked for, in any case.

    Columns may be parted by commas, semicolons or tabs; an `optional` one that is not there is left out.
    """
    csv.field_size_limit(_LONGEST_ROW)  # the default allows 131 kB
    try:
        check_file(path, limits.DATASET_BYTES)
        with path.open(newline="", encoding="utf-8-sig") as file:  # with or without the mark that Excel writes
            first = file.readline(_LONGEST_HEADER)
            delimiter = max(_DELIMITERS, key=first.count)
            header = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
            for column in columns:
                if column.lower() not in header:
                    raise UsageError(
                        f"{path} row 1: there is no column `{column}` among {', '.join(header) or 'none'}."
                    )
            wanted = [*columns, *(column for column in optional if column.lower() in header)]
            at = {column: header.index(column.lower()) for column in wanted}
            for row, values in enumerate(csv.reader(_lines(file), delimiter=delimiter), start=2):
                if values:
                    yield row, {name: values[i].strip() if i < len(values) else "" for name, i in at.items()}
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="name a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file ({error}).") from error


def _lines(file: TextIO) -> Iterator[str]:
    """The lines that are left, none longer than a row may be: a file of NULs is one line.

    Raises:
        csv.Error: one is.
    """
    while line := file.readline(_LONGEST_ROW + 1):
        if len(line) > _LONGEST_ROW:
            raise csv.Error(f"a line of more than {_LONGEST_ROW:,} characters")
        yield line


def _usage(value: str) -> int:
    found = {name.lower(): split for name, split in USAGES.items()}.get(value.lower())
    if found is None:
        raise _BadRowError(f"Usage is `{value}`, not {', '.join(USAGES)}")
    return found


def _label(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < len(EMOTIONS)):
        raise _BadRowError(f"label `{value}` is not a number from 0 to {len(EMOTIONS) - 1}")
    return int(value)


def _pixels(value: str) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how NumPy reports text that is not all numbers
        try:
            numbers = np.fromstring(value, dtype=np.int64, sep=" ")
        except (DeprecationWarning, ValueError):
            raise _BadRowError("pixels are not numbers between spaces") from None
    if len(numbers) != SIDE * SIDE:
        raise _BadRowError(f"{len(numbers)} pixels, not {SIDE * SIDE} ({SIDE}x{SIDE})")
    if numbers.min() < 0 or numbers.max() > 255:
        raise _BadRowError("a pixel is outside 0 to 255")
    return numbers.astype(np.uint8).reshape(SIDE, SIDE)


def _votes(
    records: list[tuple[int, dict[str, str]]], row: int, usage: str | None, path: Path, ferplus: Path | None
) -> list[int]:
    if row - 2 >= len(records):
        raise UsageError(f"{ferplus} ends at row {len(records) + 1}, {path} goes on", remedy=_TOGETHER)
    record = records[row - 2][1]
    if usage is not None and record["Usage"].lower() != usage.lower():
        raise UsageError(f"{ferplus} row {row} says {record['Usage']}, {path} says {usage}", remedy=_TOGETHER)
    try:
        counts = [int(record[column]) for column in VOTES]
    except ValueError:
        raise _BadRowError("a FER+ vote is not a number") from None
    if min(counts) < 0 or max(counts) > 255:
        raise _BadRowError("a FER+ vote is outside 0 to 255")
    return counts


def _digest(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, one after another: what `cat FILES | sha256sum` says."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
