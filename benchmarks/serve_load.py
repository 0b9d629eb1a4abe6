"""Load by wrk on one route, and what it took: requests a second, latency, and the processor time of the server's tree.

Requests per second of the server's own processor time hold on a machine that does other things as well: that is what
servers are compared by. Latency does not: it is said beside the machine's load.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

CLIENTS: Final = 8
_SCRIPT: Final = """
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
for line in os.getenv("BENCH_HEADERS"):gmatch("[^\\n]+") do
  local name, value = line:match("^(.-): (.*)$")
  wrk.headers[name] = value
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "microseconds": %d, "p50": %f, "p99": %f, "lost": %d, "refused": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a server takes it."""

    path: str
    headers: dict[str, str]
    body: bytes
    label: Callable[[bytes, dict[str, str]], int]
    """The number of the label that an answer's body and headers say."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one round of load took."""

    requests: int
    seconds: float
    cpu_s: float
    """User and system, of the server and all its children."""
    p50_ms: float
    p99_ms: float
    lost: int
    """Not answered: the connection failed or ended, or thirty seconds went by."""
    refused: int
    """Answered with a status of 400 or above."""

    @property
    def per_cpu_second(self) -> float:
        """Requests in one second of one core."""
        return self.requests / self.cpu_s if self.cpu_s else 0.0


def load(port: int, request: Request, tree: "Tree", seconds: float, clients: int = CLIENTS) -> Measured:
    """The same request from `clients` connections, one after another on each, for so long.

    Raises:
        RuntimeError: wrk did not say what it did.
    """
    with tempfile.TemporaryDirectory(prefix="edgewise-load-") as name:
        folder = Path(name)
        (folder / "load.lua").write_text(_SCRIPT)
        (folder / "body").write_bytes(request.body)
        before = tree.cpu_s()
        command = [
            shutil.which("wrk") or "wrk", "--threads", "1", "--connections", str(clients), "--duration",
            f"{seconds:.0f}s", "--timeout", "30s", "--script", str(folder / "load.lua"), f"http://127.0.0.1:{port}{request.path}",
        ]  # fmt: skip
        headers = "\n".join(f"{key}: {value}" for key, value in request.headers.items())
        done = subprocess.run(
            command,
            capture_output=True, text=True, check=False, timeout=seconds + 60,
            env={"BENCH_BODY": str(folder / "body"), "BENCH_HEADERS": headers},
        )  # fmt: skip
        cpu_s = tree.cpu_s() - before
    if done.returncode:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return Measured(
        said["requests"], said["microseconds"] / 1e6, cpu_s, said["p50"] / 1e3, said["p99"] / 1e3, said["lost"],
        said["refused"],
    )  # fmt: skip


class Tree:
    """A server's process and its children, as the kernel counts them."""

    def __init__(self, pid: int) -> None:
        """Of this process."""
        self.pid = pid
        self._root = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Processor time until now, user and system, of those that live and of the children that ended."""
        total = 0.0
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:  # ended meanwhile
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def rss_mb(self) -> float:
        """Memory in RAM, in megabytes of 10^6 bytes; what processes share is counted in each."""
        total = 0
        for process in self._processes():
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total / 1e6

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]
