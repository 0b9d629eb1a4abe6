"""Every operation by which this process changes a state directory, counted, and a fault at one of them.

The operations are the calls of `os` that create, write, sync, name or delete, and the statements that change a SQLite
database; a commit counts twice, before and after it. Only what touches the given folder counts. Children have their own
processes and are not seen.
"""

import errno
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

Kind = Literal["kill", "hang", "error"]
_BY_PATH = ("link", "rename", "replace", "unlink", "mkdir", "rmdir", "symlink")
_BY_DESCRIPTOR = ("pwrite", "ftruncate", "fsync")
_SAID = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EROFS: "attempt to write a readonly database",
}
_CHANGING = ("BEGIN", "COMMIT", "INSERT", "DELETE", "UPDATE", "CREATE", "ALTER")


@dataclass(frozen=True)
class Fault:
    """What happens at an operation."""

    kind: Kind
    at: int
    """The operation's number, from 0."""
    count: int = 1
    """How many operations from there on fail."""
    error: int = errno.EIO
    named: str = ""
    """Count only operations whose name begins so."""


@dataclass
class Operations:
    """The operations of one process on one folder."""

    folder: Path
    fault: Fault | None = None
    hung: Callable[[], None] = lambda: None
    """Called when a thread begins to hang."""
    names: list[str] = field(default_factory=list)
    """What was done, in order."""
    _counted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Count from here on."""
        for name in _BY_PATH:
            patch.setattr(os, name, self._by_path(name, getattr(os, name)))
        for name in _BY_DESCRIPTOR:
            patch.setattr(os, name, self._by_descriptor(name, getattr(os, name)))
        patch.setattr(os, "open", self._opening(os.open))
        patch.setattr(sqlite3, "connect", self._connecting(sqlite3.connect))

    def _happens(self, name: str, *, database: bool = False) -> None:
        with self._lock:
            self.names.append(name)
            fault = self.fault
            if fault is None or not name.startswith(fault.named):
                return
            number, self._counted = self._counted, self._counted + 1
        if not fault.at <= number < fault.at + fault.count:
            return
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind == "hang":
            self.hung()
            time.sleep(3600)
        if database:
            raise sqlite3.OperationalError(_SAID[fault.error])
        raise OSError(fault.error, os.strerror(fault.error), name)

    def _mine(self, path: Any) -> bool:
        return str(self.folder) in os.fspath(path) if isinstance(path, str | os.PathLike) else False

    def _by_path(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            paths = [path for path in arguments if isinstance(path, str | os.PathLike)]
            if any(map(self._mine, paths)) or options.get("dir_fd") is not None:
                self._happens(f"{name} {Path(paths[-1]).name}")
            return real(*arguments, **options)

        return call

    def _by_descriptor(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *arguments: Any) -> Any:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if self._mine(path):
                self._happens(f"{name} {path.name}")
            return real(descriptor, *arguments)

        return call

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & os.O_CREAT and self._mine(path):
                self._happens(f"create {Path(path).name}")
            return real(path, flags, *arguments, **options)

        return call

    def _connecting(self, real: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        operations = self

        class Counted(sqlite3.Connection):
            def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
                begins = statement.lstrip().upper().startswith
                if begins(_CHANGING):
                    operations._happens(" ".join(statement.split()[:3]), database=True)
                cursor = super().execute(statement, *arguments)
                if begins("COMMIT"):
                    operations._happens("after COMMIT", database=True)
                return cursor

        def connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
            mine = operations._mine(database)
            return real(database, *arguments, **({"factory": Counted} if mine else {}), **options)

        return connect
