"""One command at a time works on a folder: the next one waits."""

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError

PATIENCE_S: Final = 30.0
"""How long a command waits for another one."""


class FolderLock:
    """A lock between processes, and between threads of one; the thread that has it may take it again."""

    def __init__(self, directory: Path) -> None:
        """Nothing is made before it is taken."""
        self._directory = directory
        self._turn, self._depth = threading.RLock(), 0

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have it.

        Raises:
            EdgewiseError: another command has it for longer than `PATIENCE_S`.
        """
        with self._turn:
            if self._depth:
                yield
                return
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "lock").open("w") as lock:
                self._wait_for(lock.fileno())
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise EdgewiseError(
                        f"another command works on {self._directory}", remedy="try again after it"
                    ) from error
                time.sleep(0.05)
