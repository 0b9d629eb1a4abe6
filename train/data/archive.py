"""A zip or tar archive as a source: unpacked into a temporary folder under bounds, read from there, and gone again.

Nothing is written outside that folder, links and devices are refused, and what an archive says of its sizes is held
against the room there is before anything is unpacked. What comes out has the digest of the same files unpacked by hand.
"""

import bz2
import gzip
import io
import lzma
import math
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Final, NamedTuple, cast

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


_LARGEST_READ: Final = 1 << 20
"""Bytes that one header of a tar may have, and that are unpacked at a time."""
_HEADERS: Final = 16 << 20
_HEADERS_EACH: Final = 8 << 10
"""Bytes of headers that a tar may have in all: so many, and so many more a file. A usual one has 512 to 2,048."""

_DAMAGED: Final = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


class _Entry(NamedTuple):
    """A regular file inside an archive."""

    name: str
    size: int
    source: zipfile.ZipInfo | tarfile.TarInfo


def is_archive(path: Path) -> bool:
    """Whether this file is a zip or a tar, packed by gzip, bzip2 or xz or not at all."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with _opened_tar(path):
            return True
    except _TooLargeError:
        return True  # and refused as one
    except (*_DAMAGED, ValueError, RecursionError, OSError):  # none, or it begins as one and ends at once
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
            if not info.filename.endswith(("/", "\\")):
                entries.append(_Entry(info.filename, info.file_size, info))
        _refuse_too_much(path, entries, folder)
        for entry in _wanted(path, entries):
            assert isinstance(entry.source, zipfile.ZipInfo)  # noqa: S101  # made above
            with archive.open(entry.source) as packed:
                _write(packed, entry, folder)


def _unpack_tar(path: Path, folder: Path) -> None:
    with _opened_tar(path) as (archive, headers):
        entries: list[_Entry] = []
        total = 0
        for member in archive:  # every size is read, and bounded, before a file is written
            headers.left += _HEADERS_EACH
            member.pax_headers = {}  # each would keep its own copy of what stands before all of them
            if member.size < 0:
                raise tarfile.ReadError(f"{member.name} has a negative size")
            if not (member.isfile() or member.isdir()):
                raise UsageError(f"{path} holds {member.name}, which is no regular file", remedy=_UNPACK)
            total += member.size
            if member.isfile():
                entries.append(_Entry(member.name, member.size, member))
            if len(entries) > MOST_ENTRIES or total > _most_bytes(path):
                break
        headers.left = math.inf
        _refuse_too_much(path, entries, folder)
        for entry in _wanted(path, entries):
            assert isinstance(entry.source, tarfile.TarInfo)  # noqa: S101  # made above
            packed = archive.extractfile(entry.source)
            assert packed is not None  # noqa: S101  # a regular file
            with packed:
                _write(packed, entry, folder)


class _TooLargeError(tarfile.ReadError):
    """Headers are."""


class _Headers(io.RawIOBase):
    """The unpacked bytes of a tar. `tarfile` reads as much of a header at once as the header says, whatever that is."""

    def __init__(self, unpacked: IO[bytes]) -> None:
        super().__init__()
        self._unpacked = unpacked
        self.left: float = _HEADERS
        """Bytes that may still be read; infinite while files are."""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= min(_LARGEST_READ, self.left):
            raise _TooLargeError("its headers are larger than any tool makes them")
        data = self._unpacked.read(size)
        self.left -= len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        return self._unpacked.tell()


@contextmanager
def _opened_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, _Headers]]:
    """A tar, packed or not, whose headers are bounded."""
    with path.open("rb") as file:
        first = file.read(6)
        file.seek(0)
        if first.startswith(b"\x1f\x8b"):
            unpacked = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
        elif first.startswith(b"BZh"):
            unpacked = bz2.BZ2File(file)
        elif first.startswith((b"\xfd7zXZ", b"\x5d\0\0")):
            unpacked = lzma.LZMAFile(file)  # noqa: SIM115  # all it holds open is `file`
        else:
            unpacked = file
        headers = _Headers(unpacked)
        with tarfile.open(fileobj=headers, mode="r:") as archive:
            yield archive, headers


def _wanted(path: Path, entries: list[_Entry]) -> list[_Entry]:
    """Without what tools leave beside pictures, every name with slashes: what Windows packs may have backslashes.

    Raises:
        UsageError: a name leads outside the archive, or stands there twice.
    """
    names: set[PurePosixPath] = set()
    wanted = []
    for entry in entries:
        name = PurePosixPath(entry.name.replace("\\", "/"))
        if PureWindowsPath(entry.name).anchor or ".." in name.parts or not name.parts:
            raise UsageError(f"{path} holds {entry.name!r}, which leads outside of it", remedy=_UNPACK)
        if name in names:
            raise UsageError(f"{path} holds {entry.name} twice", remedy=_UNPACK)
        names.add(name)
        if not any(is_by_tool(part) for part in name.parts):
            wanted.append(entry._replace(name=str(name)))
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
        shutil.copyfileobj(packed, file, _LARGEST_READ)


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
