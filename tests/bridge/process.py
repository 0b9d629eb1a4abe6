"""The bridge as a real process, for tests that start, stop and kill it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from edge_simulator.broker import free_port

REPOSITORY = Path(__file__).resolve().parents[2]


class BridgeProcess:
    """`edgewise-bridge run` on ports and a database of its own; `start` after `kill` brings the same one back."""

    def __init__(
        self,
        folder: Path,
        broker_port: int,
        *,
        database: str | None = None,
        config: str = "",
        scheme: str = "mqtt",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.database = database or f"sqlite:///{folder / 'predictions.db'}"
        self._broker = f"{scheme}://127.0.0.1:{broker_port}"
        self._environ = {**os.environ, **(environ or {})}
        self._config = folder / "bridge.toml"
        self._config.write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "BridgeProcess":
        """Start and wait until it is ready."""
        arguments = ["--config", str(self._config), "--broker", self._broker, "--listen", f"127.0.0.1:{self.port}"]
        with (self.folder / "bridge.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_bridge.cli", "run", *arguments, "--database", self.database],
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
            )
        try:
            self.wait_for("/-/ready", "database writable: yes")
        except BaseException:
            self.kill()  # a fixture that fails here is never left, so nobody else would
            raise
        return self

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """End it politely; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def processor_seconds(self) -> float:
        """Processor time that it has used since it was started."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=10) as response:  # noqa: S310  # 127.0.0.1
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> str:
        """What Prometheus would read."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return text

    def wait_for(self, path: str, text: str, timeout: float = 60) -> str:
        """Until the body holds `text`."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status, body = self.get(path)
            if text in body and (status == 200 or not path.startswith("/-/ready")):
                return body
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"{path} never said {text!r}; the last was:\n{self.get(path)[1]}\n{self.log()}")

    def log(self) -> str:
        """All it logged."""
        return (self.folder / "bridge.log").read_text()

    def __enter__(self) -> "BridgeProcess":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        if self._process is not None and self._process.poll() is None:
            self.kill()
