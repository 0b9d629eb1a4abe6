"""One server of a kind a folder, and whether one is there: a lock that the system takes back after a kill."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError

LOCK: Final = "serve.lock"
"""Of `edgewise fleet serve`."""


@contextlib.contextmanager
def serving(directory: Path, lock_name: str = LOCK, command: str = "edgewise fleet serve") -> Iterator[None]:
    """Be the one that serves this folder with this command.

    Raises:
        EdgewiseError: another one is.
    """
    with (directory / lock_name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgewiseError(
                f"another `{command}` works on {directory}", remedy="one does all: leave it or end it first"
            ) from error
        yield


def is_served(directory: Path, lock_name: str = LOCK) -> bool:
    """Whether one is there."""
    path = directory / lock_name
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that ask do not see one another
        except BlockingIOError:
            return True
    return False
