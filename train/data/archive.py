"""A zip or tar archive as a source: unpacked into a temporary folder under bounds, read from there, and gone again.

Nothing is written outside that folder, links and devices are refused, and what an archive says of its sizes is held
against the room there is before anything is unpacked. What comes out has the digest of the same files unpacked by hand.
"""

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from edge_contract.errors import UsageError
from train.data.folder_layout import is_by_tool, split_of

MOST_ENTRIES: Final = 2_000_000
MOST_BYTES: Final = 64 * 2**30
"""Unpacked, in all."""
_RATIO: Final = 100
_ALWAYS: Final = 2**30
"""Bytes that any archive may unpack to; above, `_RATIO` times its own size: pictures hardly shrink, pixels as text by
four."""
_UNPACK: Final = "unpack it yourself, and name the CSV file or the folder of class folders in it"


_DAMAGED: Final = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


class _Entry(NamedTuple):
    """A regular file inside an archive."""

    name: str
    size: int
    source: zipfile.ZipInfo | tarfile.TarInfo


def is_archive(path: Path) -> bool:
    """Whether this file is a zip or a tar, packed by gzip, bzip2 or xz or not at all."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _DAMAGED:  # it begins as one and ends at once
        return False


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of class folders, or the CSV file, inside an archive, until the block ends.

    Raises:
        UsageError: it is damaged, encrypted or too large, names a place outside or a link, or holds neither. Errors
            that the block raises name the archive instead of the temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="edgewise-") as name:
        folder = Path(name)
        try:
            if zipfile.is_zipfile(path):
                _unpack_zip(path, folder)
            else:
                _unpack_tar(path, folder)
        except (*_DAMAGED, RuntimeError, ValueError) as error:  # these two for what zipfile does not know
            raise UsageError(f"{path} cannot be unpacked ({error})", remedy=_UNPACK) from error
        except OSError as error:
            raise UsageError(f"{path} cannot be unpacked ({error.strerror or error})", remedy=_UNPACK) from error
        try:
            yield _content(path, folder)
        except UsageError as error:
            said = [text.replace(name, str(path)) for text in (error.problem, error.remedy)]
            raise UsageError(said[0], remedy=said[1]) from error


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = []
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UsageError(f"{path} holds {info.filename}, which is no regular file", remedy=_UNPACK)
            if info.flag_bits & 1:
                raise UsageError(f"{path} is encrypted", remedy=_UNPACK)
            if not info.is_dir():
                entries.append(_Entry(info.filename, info.file_size, info))
        _refuse_too_much(path, entries, folder)
        for entry in _wanted(path, entries):
            assert isinstance(entry.source, zipfile.ZipInfo)  # noqa: S101  # made above
            with archive.open(entry.source) as packed:
                _write(packed, entry, folder)


def _unpack_tar(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        entries: list[_Entry] = []
        total = 0
        for member in archive:  # every size is read, and bounded, before a file is written
            if not (member.isfile() or member.isdir()):
                raise UsageError(f"{path} holds {member.name}, which is no regular file", remedy=_UNPACK)
            total += member.size
            if member.isfile():
                entries.append(_Entry(member.name, member.size, member))
            if len(entries) > MOST_ENTRIES or total > _most_bytes(path):
                break
        _refuse_too_much(path, entries, folder)
        for entry in _wanted(path, entries):
            assert isinstance(entry.source, tarfile.TarInfo)  # noqa: S101  # made above
            packed = archive.extractfile(entry.source)
            assert packed is not None  # noqa: S101  # a regular file
            with packed:
                _write(packed, entry, folder)


def _wanted(path: Path, entries: list[_Entry]) -> list[_Entry]:
    """Without what tools leave beside pictures.

    Raises:
        UsageError: a name leads outside the archive, or stands there twice.
    """
    names: set[PurePosixPath] = set()
    wanted = []
    for entry in entries:
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.name or not name.parts:
            raise UsageError(f"{path} holds {entry.name!r}, which leads outside of it", remedy=_UNPACK)
        if name in names:
            raise UsageError(f"{path} holds {entry.name} twice", remedy=_UNPACK)
        names.add(name)
        if not any(is_by_tool(part) for part in name.parts):
            wanted.append(entry)
    return wanted


def _most_bytes(path: Path) -> int:
    return min(MOST_BYTES, max(_ALWAYS, _RATIO * path.stat().st_size))


def _refuse_too_much(path: Path, entries: list[_Entry], folder: Path) -> None:
    total = sum(entry.size for entry in entries)
    if len(entries) > MOST_ENTRIES:
        raise UsageError(f"{path} holds more than {MOST_ENTRIES:,} files", remedy=_UNPACK)
    if total > _most_bytes(path):
        raise UsageError(
            f"{path} would unpack to {total:,} bytes or more, too many for an archive of its size", remedy=_UNPACK
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise UsageError(
            f"{path} unpacks to {total:,} bytes, and {folder.parent} has room for {free:,}",
            remedy="let TMPDIR name a folder with more room",
        )


def _write(packed: IO[bytes], entry: _Entry, folder: Path) -> None:
    target = folder / PurePosixPath(entry.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)


def _content(path: Path, folder: Path) -> Path:
    """The folder that holds classes or splits, below folders that hold nothing else; or the one CSV file.

    Raises:
        UsageError: it holds neither.
    """
    while True:
        entries = sorted(folder.iterdir())
        folders = [entry for entry in entries if entry.is_dir()]
        tables = [entry for entry in entries if entry.suffix.lower() == ".csv"]
        if len(folders) == 1 and not tables and split_of(folders[0].name) is None:
            folder = folders[0]
            continue
        if folders:
            return folder
        if len(tables) > 1:
            tables = [table for table in tables if table.name.lower() == "fer2013.csv"]
        if len(tables) == 1:
            return tables[0]
        raise UsageError(f"{path} holds neither class folders nor one CSV file", remedy=_UNPACK)
