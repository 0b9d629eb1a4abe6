"""What a bridge loses or counts twice while everything around it fails: nothing, or it is said here.

Devices deliver as agents do: a window of messages ahead of the acknowledgement, again from the oldest when none comes.
Meanwhile the broker is killed, the bridge is killed (kill -9), and another process locks the database. `/metrics` is
read all the time, and each counter is held against what it was. At the end the log is compared with what was sent.
"""

import contextlib
import re
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import Publisher, prediction, telemetry

AHEAD: Final = 40
"""Messages sent ahead of the acknowledgement."""
PER_S: Final = 10
"""Messages that each device has to say a second: one in five is a window."""
FRAMES: Final = 10
"""Frames a message."""
PATIENCE_S: Final = 300.0
_COUNTER: Final = re.compile(
    r"^(edgewise_(?:frames_total|stage_duration_seconds_(?:count|bucket))\{[^}]*\}) (\S+)$", re.MULTILINE
)


class _Agent:
    """A device that delivers until it is told to end, and then until all is acknowledged."""

    def __init__(self, port: int, name: str, session: int) -> None:
        self._publisher = Publisher(port, name, session)
        self.name, self._session = name, session
        self._ending = threading.Event()
        self.last = 0
        self._thread = threading.Thread(target=self._deliver, daemon=True)
        self._publisher.say_hello()
        self._thread.start()

    @property
    def acknowledged(self) -> int:
        return max(self._publisher.acks, default=(0, 0))[1]

    def end(self) -> None:
        """Say nothing new."""
        self._ending.set()

    def close(self) -> None:
        self._publisher.close()

    def _deliver(self) -> None:
        began = time.monotonic()
        while not (self._ending.is_set() and self.acknowledged >= self.last):
            if not self._ending.is_set():
                self.last = int((time.monotonic() - began) * PER_S) // 5 * 5 + 5
            first = self.acknowledged + 1
            for sequence in range(first, min(first + AHEAD, self.last + 1)):
                key, oldest = (self._session, sequence), (self._session, first)
                if sequence % 5 == 0:
                    said = telemetry(self.name, key, sequence * FRAMES, oldest=oldest)
                    self._publisher.send(said, "telemetry")
                else:
                    self._publisher.send(prediction(self.name, key, oldest=oldest), "prediction")
            time.sleep(0.5)


class _Watch:
    """Reads `/metrics` over and over; `fell`: counters that were once higher."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self._bridge, self._seen = bridge, dict[str, float]()
        self.fell: list[str] = []
        self.reads = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(0.2):
            status, text = self._bridge.get("/metrics")
            if status != 200:
                continue
            self.reads += 1
            for name, value in _COUNTER.findall(text):
                if float(value) < self._seen.get(name, 0.0):
                    self.fell.append(f"{name} from {self._seen[name]:g} to {value}")
                self._seen[name] = float(value)

    def end(self) -> None:
        self._ending.set()
        self._thread.join(20)


def measure(devices: int, kills: int, locked_s: float) -> dict[str, Any]:
    """Run it. `missing` and `twice`: messages that were sent and are not in the log, and counted more than once."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Broker(folder / "broker"))
        (folder / "bridge").mkdir()
        bridge = stack.enter_context(BridgeProcess(folder / "bridge", broker.port))
        session = int(time.time())
        agents = [_Agent(broker.port, f"cam-{number}", session) for number in range(devices)]
        for each in agents:
            stack.callback(each.close)
        watch = _Watch(bridge)
        for _ in range(kills):
            time.sleep(1.0)
            broker.kill()
            time.sleep(0.5)
            broker.start()
            time.sleep(1.0)
            bridge.kill()
            bridge.start()
        file = bridge.database.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            time.sleep(locked_s)
            holder.execute("ROLLBACK")
        for each in agents:
            each.end()
        until = time.monotonic() + PATIENCE_S
        while any(each.acknowledged < each.last for each in agents) and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1.0)
        watch.end()
        text = bridge.metrics()
        bridge.stop()
        return {
            "fault_devices": devices,
            "broker_kills": kills,
            "bridge_kills": kills,
            "locked_s": locked_s,
            "sent": sum(each.last for each in agents),
            **_compared(file, text, agents),
            "counters_fell": len(watch.fell),
            "metrics_reads": watch.reads,
        }


def _compared(file: str, text: str, agents: list[_Agent]) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT device, sequence FROM predictions").fetchall()
    wanted = {(each.name, sequence) for each in agents for sequence in range(1, each.last + 1) if sequence % 5}
    missing, twice = len(wanted - set(rows)), len(rows) - len(set(rows)) + len(set(rows) - wanted)
    counts = {name: float(value) for name, value in _COUNTER.findall(text)}
    for each in agents:  # a window more or less is FRAMES * 5 frames
        shown = counts.get(f'edgewise_frames_total{{site="home",device="{each.name}"}}', 0.0)
        off = round((shown - each.last * FRAMES) / (FRAMES * 5))
        missing, twice = missing + max(0, -off), twice + max(0, off)
    whole = counts.get('edgewise_stage_duration_seconds_count{site="home",model="emotion-2",stage="whole"}', 0.0)
    off = round((whole - sum(each.last for each in agents) * FRAMES) / (FRAMES * 5))
    return {"missing": missing + max(0, -off), "twice": twice + max(0, off)}
