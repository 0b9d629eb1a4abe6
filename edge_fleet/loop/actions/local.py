"""Trainings on this machine: a command in a checkout, in processes of its own that a restart of the loop leaves alone.

Each run has a folder with its request, log and result, and a lock that everything of the training holds. What is seen:
a result; else a lock that is held, so it runs; else nothing, and it may begin (again). It ends by its group's number,
and only while the lock says that the group lives.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from edge_contract import durable
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError
from edge_contract.visible import visible
from edge_fleet.loop.actions.local_child import (
    GRACE_S,
    GROUP,
    LOCK,
    LOG,
    REQUEST,
    RESULT,
    RESULT_BYTES,
    Ended,
    Job,
)
from edge_fleet.loop.actions.outcome import Broken, Made, Outcome, Progress, Request, result_of

_SECRET: Final = ("TOKEN", "PASSWORD", "PASSPHRASE", "SECRET")
_OURS: Final = "EDGEWISE_"
_PATIENCE_S: Final = 30.0
"""For a training to begin, or to be gone."""


class LocalAction:
    """Commands on this machine."""

    settle_s = 0.0

    def __init__(
        self,
        command: tuple[str, ...],
        checkout: Path,
        work: Path,
        seconds: float,
        environ: Mapping[str, str],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`work`: where the folders of runs are. `environ`: what the command gets, less this program's own secrets."""
        self._command, self._checkout, self._work, self._seconds = command, checkout, work, seconds
        self._environ = {name: value for name, value in environ.items() if not _is_secret(name)}
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None

    def look(self, request: Request) -> Progress:
        """How it stands."""
        folder = self._work / request.run
        if self._child is not None:
            self._child.poll()  # one that has ended leaves the system's table
        if (folder / RESULT).exists():
            return self._result(folder)
        if _is_held(folder / LOCK):
            return "running"
        return self._result(folder) if (folder / RESULT).exists() else "absent"

    def begin(self, request: Request) -> None:
        """Begin it, and return when it runs or has ended.

        Raises:
            EdgewiseError: it does not begin, or the disk refuses.
        """
        folder = self._work / request.run
        durable.make_directory(folder)
        job = Job(list(self._command), str(self._checkout), self._seconds, request.environment())
        durable.write_file(folder / REQUEST, msgspec.json.encode(job))
        (folder / GROUP).unlink(missing_ok=True)
        self._child = child = subprocess.Popen(
            [sys.executable, "-m", "edge_fleet.loop.actions.local_child", str(folder)],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _PATIENCE_S
        while not (folder / GROUP).exists() and not (folder / RESULT).exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise EdgewiseError("the training did not begin", remedy=f"look at {folder}")
            time.sleep(0.02)
        self._say(f"The training {request.run} runs; its log is {folder / LOG}.")

    def end(self, run: str) -> None:
        """End all of its processes, and return when they are gone.

        Raises:
            EdgewiseError: they do not go.
        """
        folder = self._work / run
        for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, _PATIENCE_S)):
            deadline = time.monotonic() + patience
            while _is_held(folder / LOCK):
                with contextlib.suppress(OSError, ValueError):
                    group = int(read_file(folder / GROUP, 32))
                    if group > 1:
                        os.killpg(group, number)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            else:
                if self._child is not None:
                    self._child.poll()
                return
        raise EdgewiseError(f"the training {run} does not end", remedy=f"end what holds {folder / LOCK}")

    def _result(self, folder: Path) -> Outcome:
        try:
            ended = msgspec.json.decode(read_file(folder / RESULT, RESULT_BYTES), type=Ended)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            return Broken(f"{folder / RESULT} cannot be read ({visible(str(error))})")
        if ended.problem:
            return Broken(f"{visible(ended.problem)}; see {folder / LOG}")
        found = result_of(ended.status, ended.line.encode(), str(folder / LOG))
        if isinstance(found, Made):
            return found._replace(package=str(self._checkout / found.package))
        return found


def _is_secret(name: str) -> bool:
    return name == "CREDENTIALS_DIRECTORY" or (name.startswith(_OURS) and any(part in name for part in _SECRET))


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
