"""mqtt2prometheus, the exporter that Debian has for MQTT, on the windows that the bridge takes: each number a metric.

It is configured with the path of every number in a window, so both make the same samples of the same bytes. It keeps
gauges in memory, stores nothing and acknowledges nothing; the bridge checks, adds up, commits with fsync and
acknowledges. Its CPU is read when it has gone quiet; what it received is then read from its own counters.
"""

import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from edge_simulator.broker import free_port

PROGRAM: Final = "prometheus-mqtt-exporter"
QUIET_S: Final = 1.0
"""Without any CPU for so long, it is done."""
PATIENCE_S: Final = 600.0


def missing() -> str:
    """Why it cannot be measured here; empty when it can."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed (apt-get install {PROGRAM})"


def paths(window: bytes) -> list[str]:
    """The path of every number that is a sample in a window: its counters, gauges, answers and buckets."""
    message = json.loads(window)
    return [
        f"{part}.{path}"
        for part in ("counters", "gauges", "emotions", "stages", "confidence", "tracks.answers")
        for path in _numbers(_at(message, part))
    ]


@contextlib.contextmanager
def running(port: int, window: bytes) -> Iterator["Exporter"]:
    """The exporter connected to the broker on this port, and configured for windows like this one."""
    with tempfile.TemporaryDirectory() as name:
        metrics = [
            {"prom_name": f"sample_{number}", "mqtt_name": path, "help": path, "type": "gauge"}
            for number, path in enumerate(paths(window))
        ]
        config = {
            "mqtt": {
                "server": f"tcp://127.0.0.1:{port}",
                "topic_path": "edgewise/v1/device/+/telemetry",
                "device_id_regex": "edgewise/v1/device/(?P<deviceid>[^/]+)/telemetry",
                "qos": 1,
            },
            "cache": {"timeout": "60m"},
            "metrics": metrics,
        }
        file = Path(name) / "exporter.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        web = free_port()
        with (Path(name) / "log").open("w+b") as log:
            process = subprocess.Popen(
                [PROGRAM, "-config", str(file), "-listen-address", "127.0.0.1", "-listen-port", str(web),
                 "-log-level", "error"],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                yield Exporter(process, web, len(metrics))
            finally:
                process.kill()
                process.wait(10)


class Exporter:
    """One that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, samples: int) -> None:
        self._process, self._port = psutil.Process(process.pid), port
        self.samples = samples
        """Of each window."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                self._read()
                time.sleep(0.5)  # it has subscribed by then
                return
            time.sleep(0.1)
        raise SystemExit(f"{PROGRAM} did not start")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def finish(self, sent: int) -> float:
        """Wait until it is quiet; its CPU seconds then.

        Raises:
            SystemExit: it did not receive all that was sent, or some window without all of its samples.
        """
        last, since, until = self.cpu(), time.monotonic(), time.monotonic() + PATIENCE_S
        while time.monotonic() - since < QUIET_S and time.monotonic() < until:
            time.sleep(0.1)
            if (now := self.cpu()) > last + 0.011:
                last, since = now, time.monotonic()
        spent, text = self.cpu(), self._read()
        received = sum(
            float(value) for value in re.findall(r'received_messages\{[^}]*status="success"[^}]*\} (\S+)', text)
        )
        failed = re.findall(r'received_messages\{[^}]*status="[^s][^}]*\} \S+', text)
        if received != sent or failed:
            raise SystemExit(f"{PROGRAM} received {received:g} of {sent} windows: {failed}")
        return spent

    def series(self) -> int:
        """Samples that it shows."""
        return sum(line.startswith("sample_") for line in self._read().splitlines())

    def _read(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=60) as answer:
            body: bytes = answer.read()
        return body.decode()


def _at(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = (message or {}).get(name) or {}
    return message


def _numbers(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from (f"{name}.{rest}" if rest else name for rest in _numbers(each))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from (f"[{index}].{rest}" if rest else f"[{index}]" for rest in _numbers(each))
    elif isinstance(value, int | float):
        yield ""
