"""What each person said of each crop, as CSV, out and in again. No pictures.

A text that a spreadsheet would run as a formula is written with an apostrophe before it, which is taken off again when
the file is read.
"""

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Final, get_args

from edge_bridge.labels import reading
from edge_bridge.labels.answers import Answer, Kind
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.importing import ANSWERS, Given
from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.durable import write_file
from edge_contract.errors import UsageError

COLUMNS: Final = (
    "crop", "annotator", "kind", "label", "time", "shown", "device", "taken", "stratum", "inclusion", "model", "answer",
)  # fmt: skip
_NEEDED: Final = frozenset(COLUMNS[:5])
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def export_csv(database: LabelDatabase, file: Path) -> int:
    """Write every answer that stands; how many they were.

    Raises:
        StoreError: the database is away.
        OSError: the file cannot be written; one that was there stays as it was.
    """
    with database.reading() as connection:
        found = reading.labelled(connection)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for each in found.facts:
        for name, row in sorted(found.stands.get(each.id, {}).items()):
            assert row.answer is not None  # noqa: S101  # only answers stand
            writer.writerow(
                (
                    each.name, _harmless(name), row.answer.kind, _harmless(row.answer.label), repr(row.time),
                    "yes" if row.shown else "no", each.device, repr(each.taken), each.stratum, repr(each.inclusion),
                    each.model, _harmless(each.answers[each.model]),
                )
            )  # fmt: skip
            count += 1
    write_file(file, out.getvalue().encode())
    return count


def read_csv(file: Path) -> list[Given]:
    """The answers of a file with the columns crop, annotator, kind, label and time; others are not needed.

    `time` is seconds since 1970, or such as 2026-11-28T20:00:00Z.

    Raises:
        UsageError: it cannot be read, or a row of it is none; the text names the line.
    """
    try:
        text = read_text(file, limits.DOCUMENT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error})", remedy="name a CSV file of answers") from error
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: list[Given] = []
    try:
        if missing := _NEEDED - set(table.fieldnames or ()):
            raise UsageError(f"{file} has no column {', '.join(sorted(missing))}", remedy="add it")
        for cells in table:
            if len(found) >= ANSWERS:
                raise UsageError(f"{file} has more than {ANSWERS:,} rows", remedy="import it in parts")
            try:
                found.append(_given(cells))
            except (ValueError, OverflowError) as error:
                raise UsageError(f"{file}, line {table.line_num}: {error}", remedy="correct this line") from error
    except csv.Error as error:
        raise UsageError(f"{file}, line {table.line_num}: {error}", remedy="correct this line") from error
    return found


def _given(cells: "dict[str | None, str | list[str] | None]") -> Given:
    texts = {str(name): value for name, value in cells.items() if isinstance(value, str)}
    kind = next((each for each in _KINDS if each == texts.get("kind")), None)
    if kind is None:
        raise ValueError(f"the kind is not one of {', '.join(_KINDS)}")
    label = _plain(texts.get("label", ""))
    if (kind == "label") != bool(label):
        raise ValueError("there is a label exactly where the kind is label")
    shown = texts.get("shown", "no")
    if shown not in {"yes", "no"}:
        raise ValueError("shown is yes or no")
    return Given(
        texts.get("crop", ""), _plain(texts.get("annotator", "")), Answer(kind, label), seconds(texts.get("time", "")),
        shown == "yes",
    )  # fmt: skip


def seconds(text: str) -> float:
    """A time, seconds since 1970.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("the time is none") from error
    if found.tzinfo is None:
        raise ValueError("the time has no zone: write it as 2026-11-28T20:00:00Z")
    return found.timestamp()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
