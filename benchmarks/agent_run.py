"""One run of `edgewise-agent` for the benchmark: as it ships, with a real broker and a listener that acknowledges.

The agent's code is compiled beforehand, as pip leaves it on a device, and it trusts a release side of the run's own
that has released nothing: so its update machinery is there, and the factory model runs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.agent_memory import Memory, Sample, read
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from edge_contract.messages import Ack, Prediction, ShadowCounts, Telemetry, decode, encode
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.repository import Repository
from edge_simulator.broker import Broker

REPOSITORY: Final = Path(__file__).resolve().parents[1]
MODEL: Final = REPOSITORY / "models" / "emotion-5.ewm"
_DEVICE: Final = "bench"
GROUP: Final = "default"
_PASSPHRASE: Final = "of this run only"  # noqa: S105  # and so are the keys
_PATIENCE_S: Final = 3600.0
_SAMPLE_S: Final = 1.0
_KEEPING_START_UP: Final = (
    "import sys; from edge_agent import cli; from edge_contract import process_memory; "
    "process_memory.forget_start_up = lambda: 0; sys.exit(cli.main())"
)
"""The agent without the measure that `docs/agent-cost.md` describes, to show what it gains."""


@dataclass
class Listener:
    """A subscriber like the bridge: records what it receives and acknowledges it, so that the agent's spool empties."""

    port: int
    latencies: list[float] = field(default_factory=list)
    """Seconds from frame in memory until the message was received here."""
    first: float | None = None
    """time.time() of the first prediction's arrival."""
    frames: int = 0
    """As the agent's telemetry last counted them."""
    shadow: ShadowCounts | None = None
    """What a model in shadow counted last."""

    def __post_init__(self) -> None:
        """Connect and subscribe."""
        self._newest: Ack | None = None
        self._link = Link(BrokerSettings(port=self.port), "listener", clean_start=True)
        for leaf in ("prediction", "telemetry"):
            self._link.subscribe(topics.device(_DEVICE, leaf), self._receive)
        self._link.start()
        while not self._link.connected:
            time.sleep(0.01)

    def _receive(self, topic: str, payload: bytes) -> None:
        now = time.time()
        message: Prediction | Telemetry
        if topic.endswith("/prediction"):
            message = decode(payload, Prediction)
            self.first = self.first or now
            self.latencies.append(now - message.time + message.latency)
        else:
            message = decode(payload, Telemetry)
            self.frames = message.counters.get("frames", 0)
            self.shadow = message.shadow or self.shadow
        self._newest = Ack(session=message.session, sequence=message.sequence)

    def acknowledge(self) -> None:
        """Acknowledge what was received so far; ten times a second, as the bridge does, not for every message."""
        newest, self._newest = self._newest, None
        if newest is not None:
            self._link.publish(topics.device(_DEVICE, "ack"), encode(newest))

    def close(self) -> None:
        """Disconnect from the broker."""
        self._link.stop()


@dataclass
class Run:
    """One run of the agent, over."""

    summary: dict[str, Any]
    cpu_s: float
    """User and system time of the process and all its threads, start-up included."""
    latencies: list[float]
    first_prediction_s: float | None
    memory: Memory
    shadow: ShadowCounts | None = None
    """What a model in shadow counted."""


class Bench:
    """Where the agent runs: a folder, compiled code, and a release side to trust."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self._folder, self._clip = folder, clip
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "OPENBLAS_NUM_THREADS": "1",
        }
        modules = ("agent", "camera.files", "system.native_output")
        self._python("-c", "".join(f"import edge_agent.{name}\n" for name in modules))
        self._release_side = release_side = folder / "release-side"
        environment = {"EDGEWISE_PASSPHRASE": _PASSPHRASE}
        command = "import sys; from edge_fleet.cli import main; sys.exit(main())"
        self._python("-c", command, "keys", "init", "--repository", str(release_side), **environment)
        self._root = release_side / "metadata" / "1.root.json"

    def repository(self) -> Repository:
        """The release side that the agent trusts."""
        keys = KeyStore((self._release_side / "keys",), _PASSPHRASE.encode())
        return Repository(self._release_side, keys, lambda: datetime.now(UTC))

    def run(
        self,
        name: str,
        detector: Path | None,
        extra: str = "",
        *,
        frames: int | None = None,
        seconds: float | None = None,
        keep_start_up: bool = False,
        publish: Callable[[int], None] | None = None,
    ) -> Run:
        """Run the agent on the clip until that ends, or until it counted `frames`, or for `seconds`.

        `publish` is given the broker's port before the agent starts.

        Raises:
            RuntimeError: the agent failed; its log is in the text.
        """
        folder = self._folder / name
        folder.mkdir()
        with Broker(folder / "broker") as broker:
            listener = Listener(broker.port)
            if publish is not None:
                publish(broker.port)
            config = folder / "agent.toml"
            config.write_text(self._settings(broker.port, detector) + extra)
            way = ("-c", _KEEPING_START_UP) if keep_start_up else ("-m", "edge_agent")
            began = time.time()
            with (folder / "agent.log").open("w") as log:
                process = subprocess.Popen(
                    [sys.executable, *way, "run", "--config", str(config)],
                    cwd=REPOSITORY,
                    env=self._environment,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            samples: list[Sample] = []
            watched, cpu, stopping, due = psutil.Process(process.pid), 0.0, False, 0.0
            while process.poll() is None and time.time() - began < _PATIENCE_S:
                try:
                    if time.time() >= due:  # walking its pages holds it up for a moment
                        samples.append(read(process.pid, time.time() - began, listener.frames))
                        due = time.time() + _SAMPLE_S
                    times = watched.cpu_times()
                except (psutil.Error, OSError):
                    break  # it has just ended
                cpu = times.user + times.system
                enough = (frames is not None and listener.frames >= frames) or (
                    seconds is not None and time.time() - began >= seconds
                )
                if enough and not stopping:
                    process.send_signal(signal.SIGTERM)
                    stopping = True
                listener.acknowledge()
                time.sleep(0.1)
            out, _ = process.communicate(timeout=60)
            listener.close()
        if process.returncode != 0:
            said = (folder / "agent.log").read_text()[-2000:]
            raise RuntimeError(f"the agent ended with {process.returncode}: {said}")
        first = None if listener.first is None else listener.first - began
        shutil.rmtree(folder)
        return Run(json.loads(out.splitlines()[-1]), cpu, listener.latencies, first, Memory(samples), listener.shadow)

    def _settings(self, port: int, detector: Path | None) -> str:
        return (
            f'[device]\nid = "{_DEVICE}"\nstate_dir = "state"\n[broker]\nport = {port}\n'
            f"[model]\ntrust_root = {json.dumps(str(self._root))}\nfactory = {json.dumps(str(MODEL))}\n"
            + (f"face_detector = {json.dumps(str(detector))}\n" if detector else "")
            + "[telemetry]\ninterval_s = 2.0\npredictions_per_minute = 6000\n"
            + f"[source]\nurl = {json.dumps(str(self._clip))}\n"
        )

    def _python(self, *arguments: str, **environment: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments[:4])} failed: {done.stderr.strip()[-500:]}")
