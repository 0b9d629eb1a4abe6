"""A private mosquitto on 127.0.0.1, for the demo and for every test that needs a broker."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from edge_contract.errors import EdgewiseError

# Debian keeps daemons where an ordinary user's PATH does not look.
_SEARCH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin"


class Broker:
    """One mosquitto process with its own folder and port; usable as a context manager.

    `start` after `stop` or `kill` brings the same broker back: same port, same persistence.
    """

    def __init__(self, directory: Path, *, port: int | None = None, extra: str = "") -> None:
        """`extra` is appended to the configuration, such as TLS or ACL lines."""
        self._directory = directory
        self.port = port or free_port()
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where mosquitto writes what it does."""
        return self._directory / "mosquitto.log"

    @property
    def pid(self) -> int:
        """Of the process that runs now; 0 while none does."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> "Broker":
        """Start and wait until connections are accepted.

        Raises:
            EdgewiseError: mosquitto is not installed, or did not come up; the text names the remedy.
        """
        executable = shutil.which("mosquitto") or shutil.which("mosquitto", path=_SEARCH)
        if executable is None:
            raise EdgewiseError(
                "mosquitto is not installed", remedy="run `sudo apt-get install --no-install-recommends mosquitto`"
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "persistence true\n"
            f"persistence_location {self._directory}/\n"
            + ("user root\n" if os.geteuid() == 0 else "")  # else it changes user, and cannot write here
            + "max_queued_messages 100000\n"  # the default of 1,000 drops silently
            f"log_dest file {self.log}\n"
            f"{self._extra}\n"
        )
        self._process = subprocess.Popen([executable, "-c", str(config)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.02)
        self.kill()
        said = self.log.read_text()[-500:] if self.log.exists() else "nothing"
        raise EdgewiseError(f"mosquitto did not start on port {self.port} ({said})")

    def stop(self) -> None:
        """End it with SIGTERM; it saves its persistence."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def __enter__(self) -> "Broker":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
