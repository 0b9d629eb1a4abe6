"""Labels as a folder to train with, pictures in the clear: `labels.csv`, `pictures/<crop>.png`, `tombstones.csv`.

One row a crop on which more than half of those agree who answered it, and whose answer is a label; the rest is counted.
The folder is whole or the earlier one is still there; its owner alone may open it. Times are seconds since 1970.

Not here: what a training makes of it.
"""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_bridge.labels import crops, reading
from edge_bridge.labels.answers import agreed
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.erasure import Tombstone, tombstones_in
from edge_bridge.labels.picture import png
from edge_contract.crop import unseal
from edge_contract.durable import make_directory, sync_directory, sync_file, write_file
from edge_contract.errors import MessageError, UsageError

COLUMNS: Final = (
    "picture", "label", "device", "taken", "track", "stratum", "inclusion", "model", "answer", "annotators",
)  # fmt: skip
TOMBSTONE_COLUMNS: Final = ("device", "from", "until")
PICTURES: Final = "pictures"
_OURS: Final = frozenset({"labels.csv", "tombstones.csv", PICTURES})


class Exported(NamedTuple):
    """What was written, and what was left out."""

    labels: int
    left_out: Counter[str]
    """By reason: not-a-face, cannot-tell, no-majority, damaged."""


def export_folder(database: LabelDatabase, key: X25519PrivateKey, folder: Path) -> Exported:
    """Write all labels to `folder`, which is new or an earlier export.

    Raises:
        UsageError: `folder` holds something else.
        StoreError: the database is away.
        OSError: the disk is full or broken; an earlier export is still there.
    """
    folder = folder.absolute()
    _refuse_other(folder)
    new = folder.with_name(f".{folder.name}.new")
    old = folder.with_name(f".{folder.name}.old")
    for each in (new, old):
        shutil.rmtree(each, ignore_errors=True)
    make_directory(folder.parent)
    new.mkdir(mode=0o700)
    try:
        exported = _write(database, key, new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if not folder.exists() and old.exists():
            old.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_directory(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
    return exported


def tombstone_file(found: Iterable[Tombstone]) -> bytes:
    """`tombstones.csv`: an empty time is an open end."""
    return _table(
        TOMBSTONE_COLUMNS,
        [
            (
                each.device,
                "" if each.since is None else repr(each.since),
                "" if each.until is None else repr(each.until),
            )
            for each in found
        ],
    )


def _write(database: LabelDatabase, key: X25519PrivateKey, folder: Path) -> Exported:
    pictures = folder / PICTURES
    pictures.mkdir(mode=0o700)
    rows: list[Sequence[object]] = []
    left_out: Counter[str] = Counter()
    with database.reading() as connection:
        found = reading.labelled(connection)
        left_out["damaged"] = found.damaged
        for each in found.facts:
            together = agreed(found.stands.get(each.id, {}))
            if together is None or together.outcome != "label":
                left_out[together.outcome if together is not None else "cannot-tell"] += 1
                continue
            try:
                stored = crops.opened(connection, each.id)
                picture = None if stored is None else png(unseal(stored.sealed, stored.device, key))
            except MessageError:
                picture = None
            if picture is None:
                left_out["damaged"] += 1
                continue
            _write_new(pictures / f"{each.name}.png", picture)
            rows.append(
                (
                    each.name, together.label, each.device, repr(each.taken), each.track, each.stratum,
                    repr(each.inclusion), each.model, each.answers[each.model], together.annotators,
                )
            )  # fmt: skip
        erased = tombstones_in(connection)
    for name in [str(row[0]) for row in rows]:
        sync_file(pictures / f"{name}.png")
    sync_directory(pictures)
    write_file(folder / "tombstones.csv", tombstone_file(erased), mode=0o600)
    write_file(folder / "labels.csv", _table(COLUMNS, rows), mode=0o600)
    return Exported(len(rows), +left_out)


def _write_new(file: Path, data: bytes) -> None:
    """For its owner alone; synced later, all together: that is faster than one after another."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as out:
        out.write(data)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def _refuse_other(folder: Path) -> None:
    """Only what an export made is ever replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    names = {each.name for each in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {""}
    if names - _OURS or (names and "labels.csv" not in names):
        raise UsageError(f"{folder} is no earlier export of labels", remedy="name a new folder")
