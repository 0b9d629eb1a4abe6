"""One `edgewise fleet serve` a folder, and whether one is there: a lock that the system takes back after a kill."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError

_LOCK: Final = "serve.lock"


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[None]:
    """Be the one that serves this folder.

    Raises:
        EdgewiseError: another one is.
    """
    with (directory / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgewiseError(
                f"another `edgewise fleet serve` works on {directory}", remedy="one does all: leave it or end it first"
            ) from error
        yield


def is_served(directory: Path) -> bool:
    """Whether one is there."""
    path = directory / _LOCK
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that ask do not see one another
        except BlockingIOError:
            return True
    return False
