"""The demo's child processes: each with a log file, each waited for until it is ready, all ended in reverse order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from edge_contract.errors import EdgewiseError

READY_SECONDS = 120  # a first start imports a lot from a cold disk
STOP_SECONDS = 15


class Processes:
    """Starts processes and ends them, the last started first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def log(self, name: str) -> Path:
        """Where the process called `name` writes both its streams."""
        return self._logs / f"{name}.log"

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one process and wait until `ready()` is true. `environment`: beside this process's own.

        Raises:
            EdgewiseError: it ended early or was not ready in time; the text shows the end of its log.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("wb") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | (environment or {}),
            )
        self._running.append((name, process))
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if process.poll() is not None:
                raise EdgewiseError(f"{name} ended with status {process.returncode}:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise EdgewiseError(f"{name} was not ready after {READY_SECONDS} s:\n{self.tail(name)}")
            time.sleep(0.1)
        return process

    def tail(self, name: str) -> str:
        """The end of a process's log, for people."""
        return self.log(name).read_text(errors="replace")[-2000:]

    def check(self) -> None:
        """Check that all still run.

        Raises:
            EdgewiseError: one ended by itself.
        """
        for name, process in self._running:
            if process.poll() is not None:
                raise EdgewiseError(f"{name} ended with status {process.returncode}:\n{self.tail(name)}")

    def signal(self, name: str, number: int) -> None:
        """Send one process a signal."""
        for candidate, process in self._running:
            if candidate == name:
                process.send_signal(number)
                return
        raise KeyError(name)

    def stop(self, name: str) -> int:
        """End one process with SIGTERM and return its exit status."""
        for index, (candidate, process) in enumerate(self._running):
            if candidate == name:
                del self._running[index]
                return _end(process)
        raise KeyError(name)

    def stop_all(self) -> None:
        """End what still runs, the last started first."""
        while self._running:
            _end(self._running.pop()[1])


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what it started is ended with it."""
    signal.signal(signal.SIGTERM, _interrupt)


def tool(name: str) -> str:
    """The console script `name` of the environment that runs this."""
    return str(Path(sys.executable).with_name(name))


def _end(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
