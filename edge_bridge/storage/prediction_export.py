"""The prediction log as CSV and Parquet, row by row: a log of any length takes the same memory.

Times are UTC. CSV is opened in spreadsheets, and a label comes from whoever made a model: a text that a spreadsheet
would run as a formula is written with an apostrophe before it. Parquet holds every text as it is.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from edge_bridge.storage.store import LoggedPrediction
from edge_contract.durable import replacing
from edge_contract.errors import UsageError

GROUP: Final = 20_000
"""Predictions in one row group of a Parquet file, and so in memory."""
COLUMNS: Final = (
    "time", "received", "device", "site", "model", "release", "digest", "label", "confidence", "probabilities", "left",
    "top", "width", "height", "track", "session", "sequence", "latency",
)  # fmt: skip
"""In both formats: `time` by the device's clock, `received` by the bridge's, `probabilities` in the order of the
model's labels, the face's box as shares of the frame, `latency` in seconds."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def export_csv(rows: Iterable[LoggedPrediction], stream: TextIO) -> int:
    """Write them under a line of column names; how many they were. `stream` is opened with `newline=""`."""
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007  # the last is how many
        fields = _fields(row)
        fields["time"], fields["received"] = _text(fields["time"]), _text(fields["received"])
        fields["probabilities"] = msgspec.json.encode(fields["probabilities"]).decode()
        writer.writerow([_harmless(each) if isinstance(each, str) else each for each in fields.values()])
    return count


def export_csv_file(rows: Iterable[LoggedPrediction], path: Path) -> int:
    """The same to a file that is whole or not there, in UTF-8.

    Raises:
        OSError: the file cannot be written; one that was there stays as it was.
    """
    with replacing(path) as file:
        stream = io.TextIOWrapper(file, "utf-8", newline="")
        try:
            return export_csv(rows, stream)
        finally:
            stream.detach()  # writes what it holds, and leaves the file open for who opened it


def export_parquet(rows: Iterable[LoggedPrediction], path: Path) -> int:
    """Write them to a file that is whole or not there; how many they were.

    Raises:
        UsageError: pyarrow is not installed.
        OSError: the file cannot be written; one that was there stays as it was.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # 120 MB that only this function needs
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        remedy = "run: pip install pyarrow, or export with --csv"
        raise UsageError("Parquet needs pyarrow, which is not installed here", remedy=remedy) from error
    when, text = pa.timestamp("us", tz="UTC"), pa.string()
    special = {"time": when, "received": when, "probabilities": pa.list_(pa.float64())}
    special |= dict.fromkeys(("device", "site", "model", "digest", "label"), text)
    special |= dict.fromkeys(("release", "track", "session", "sequence"), pa.int64())
    form = pa.schema([(name, special.get(name, pa.float64())) for name in COLUMNS])
    count = 0
    with replacing(path) as file, parquet.ParquetWriter(file, form, compression="zstd") as writer:
        for group in _groups(rows):
            fields = [_fields(row) for row in group]
            writer.write_table(pa.Table.from_pylist(fields, schema=form))
            count += len(fields)
    return count


def _fields(row: LoggedPrediction) -> dict[str, Any]:
    message = row.message
    left, top, width, height = message.box
    return {
        "time": datetime.fromtimestamp(message.time, UTC),
        "received": datetime.fromtimestamp(row.received, UTC),
        "device": message.device,
        "site": message.site,
        "model": message.model.name,
        "release": message.model.release,
        "digest": message.model.digest,
        "label": message.label,
        "confidence": message.confidence,
        "probabilities": message.probabilities,
        "left": left,
        "top": top,
        "width": width,
        "height": height,
        "track": message.track,
        "session": message.session,
        "sequence": message.sequence,
        "latency": message.latency,
    }


def _groups(rows: Iterable[LoggedPrediction]) -> Iterator[list[LoggedPrediction]]:
    each = iter(rows)
    while group := list(itertools.islice(each, GROUP)):
        yield group


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
