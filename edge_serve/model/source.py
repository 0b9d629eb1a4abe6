"""Where the model comes from: a package in a file or folder. What was offered before is not offered again.

Not here: loading it (`loading`), and when to look (`edge_serve.server`).
"""

from pathlib import Path
from typing import Final, Protocol

from edge_contract.errors import UsageError
from edge_contract.package import SUFFIX, ModelPackage, bytes_of, read

Mark = tuple[str, int, int, int]


class Source(Protocol):
    """Blocking: for a thread beside the event loop."""

    def newest(self) -> ModelPackage | None:
        """The model to serve; None where it is the one that was given last.

        Raises:
            EdgewiseError: it cannot be had, or is not what was signed. The next call tries again.
        """
        ...


class PackageFile:
    """A `.ewm` file, or a folder with one, looked at again by its size, time and number on the disk."""

    def __init__(self, places: tuple[Path, ...]) -> None:
        """`places`: of which the first that exists counts."""
        self._places = places
        self._given: Mark | None = None

    def newest(self) -> ModelPackage | None:
        """See `Source`."""
        path = _package(self._places)
        try:
            found = path.stat()
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror})", remedy=f"name a {SUFFIX} package") from error
        mark = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
        if mark == self._given:
            return None
        package = read(bytes_of(path), str(path))
        self._given = mark
        return package


_MOST: Final = 1000  # files of a model's folder that are looked at


def _package(places: tuple[Path, ...]) -> Path:
    for place in places:
        if place.is_dir():
            packages = []
            for number, path in enumerate(place.rglob(f"*{SUFFIX}")):
                if number >= _MOST:
                    break
                packages.append(path)
            if len(packages) > 1:
                raise UsageError(
                    f"{place} holds {len(packages)} packages: {', '.join(sorted(path.name for path in packages)[:5])}",
                    remedy="name the one to serve in EDGEWISE_PACKAGE",
                )
            if packages:
                return packages[0]
        elif place.exists():
            return place
    raise UsageError(
        f"there is no {SUFFIX} package at {' or '.join(map(str, places))}",
        remedy="put one there, or name it (--package, or EDGEWISE_PACKAGE)",
    )
