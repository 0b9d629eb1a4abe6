"""What a remote training leaves: `result.json`, the line that `make retrain` prints, and the package that it names.

Both come from outside and are bounded. The package is kept in the run's folder under its own name, whole or not at all;
that it is what the result says is checked where it is read.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from edge_contract import durable, limits
from edge_contract.errors import EdgewiseError, MessageError
from edge_contract.package import SUFFIX
from edge_fleet.loop.actions.outcome import LINE_BYTES, Made, Refused, parse

T = TypeVar("T")
RESULT: Final = "result.json"
ARCHIVE_BYTES: Final = limits.PACKAGE_BYTES + 1024 * 1024
_ENTRIES: Final = 64


def keep(line: bytes, file: Callable[[str], bytes], folder: Path) -> Made | Refused:
    """What the result says, with its package in `folder`. `file` gives a file that the training left, by its name.

    Raises:
        MessageError: the result is none.
        EdgewiseError: the package is not among what was left, or the disk refuses.
    """
    said = parse(line.strip().split(b"\n")[-1])
    if isinstance(said, Refused):
        return said
    name = f"{said.release.name}-{said.release.release}{SUFFIX}"
    data = file(Path(said.package).name)
    durable.write_file(folder / name, data, parents=True)
    return said._replace(package=str(folder / name))


class Archive:
    """A zip file of what was left."""

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            MessageError: it is none, or holds too much.
        """
        self._data = data
        self._names = self._read(lambda archive: [entry.filename for entry in archive.infolist()])
        if len(self._names) > _ENTRIES:
            raise MessageError(f"the archive of the result has more than {_ENTRIES} files")

    def line(self) -> bytes:
        """The result."""
        return self._entry(RESULT, LINE_BYTES)

    def file(self, name: str) -> bytes:
        """A file of it."""
        return self._entry(name, limits.PACKAGE_BYTES)

    def _entry(self, name: str, at_most: int) -> bytes:
        found = next((each for each in self._names if Path(each).name == name), None)
        if found is None:
            raise EdgewiseError(f"the result has no file {name}", remedy="see what the workflow keeps")

        def read(archive: zipfile.ZipFile) -> bytes:
            with archive.open(found) as file:
                return file.read(at_most + 1)

        data = self._read(read)
        if len(data) > at_most:
            raise MessageError(f"{name} of the result is larger than {at_most:,} bytes")
        return data

    def _read(self, ask: Callable[[zipfile.ZipFile], T]) -> T:
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                return ask(archive)
        except (
            zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, EOFError, RuntimeError, OverflowError,
            ValueError, OSError, struct.error,
        ) as error:  # fmt: skip  # whatever zipfile raises for what damage or malice has made
            raise MessageError(f"the archive of the result cannot be read ({error})") from error
