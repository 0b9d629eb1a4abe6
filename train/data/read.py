"""One source of pictures, in whichever of four forms: fer2013.csv (with FER+), a tree of class folders, `synthetic:N`,
or the dataset file of an earlier `make data`.

The first two may lie in a zip or tar archive.

A row or file that cannot be used becomes a `Problem` that names it; only what makes the whole source useless raises.
Splitting and counting are `train.prepare`'s.
"""

from pathlib import Path

from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.errors import UsageError
from train.data import archive, base_file, class_folders, csv_file, synthetic
from train.data.rows import PictureFormat, Rows

_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf\x27", b"Rar!")  # zip, gz, bz2, xz, 7z, rar


def read_source(source: str, ferplus: str, form: PictureFormat, seed: int) -> Rows:
    """Read `source`: `synthetic:N`, a folder of class folders, fer2013.csv with or without `ferplus`, an archive, or a
    dataset file, which ends in `.npz`.

    Raises:
        UsageError: It has none of these forms, or not one row of it can be used; the text names file and row.
    """
    if source.startswith("synthetic:"):
        return synthetic.read(source, form, seed)
    path = Path(source)
    if path.suffix == base_file.SUFFIX:
        return base_file.read(path, form)
    if path.is_file() and archive.is_archive(path):
        with archive.unpacked(path) as content:
            return _read_files(content, ferplus, form)
    return _read_files(path, ferplus, form)


def _read_files(path: Path, ferplus: str, form: PictureFormat) -> Rows:
    if path.is_dir():
        if ferplus:
            raise UsageError(f"{ferplus} goes with fer2013.csv, not with the folder {path}", remedy="leave FERPLUS out")
        return class_folders.read(path, form)
    try:
        check_file(path, limits.DATASET_BYTES)
        _refuse_archive(path)
    except OSError as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UsageError(
            f"{path} {problem}",
            remedy="name fer2013.csv, a folder of class folders, an archive of one of them, or synthetic:2100",
        ) from error
    return csv_file.read(path, Path(ferplus) if ferplus else None, form)


def _refuse_archive(path: Path) -> None:
    with path.open("rb") as file:
        first = file.read(6)
    if first.startswith(_ARCHIVES):
        raise UsageError(
            f"{path} is an archive that is damaged or of a kind that is not read",
            remedy="unpack it, or pack it as zip or tar again",
        )
