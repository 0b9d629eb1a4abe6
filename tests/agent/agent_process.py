"""The real agent as a process of its own, and a subscriber at the broker: what the tests of the whole agent share."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import Struct

from demo import clip
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from edge_contract.messages import decode
from tests.eventually import PATIENCE_S, eventually

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests" / "fixtures"
DEVICE = "cam-1"
M = TypeVar("M", bound=Struct)


def render_clip(path: Path, seconds: float) -> int:
    """A clip of a real face; skips where the picture in it is not installed."""
    pytest.importorskip("skimage", reason="scikit-image, which carries the portrait, is not installed")
    return clip.render(path, seconds)


class Subscriber:
    """Keeps every message of a topic tree, in order."""

    def __init__(self, port: int, topic_filter: str = "#") -> None:
        self.received: list[tuple[str, bytes]] = []
        self.link = Link(BrokerSettings(port=port), "subscriber", clean_start=True, jitter=lambda: 0.0)
        self.link.subscribe(topic_filter, lambda topic, payload: self.received.append((topic, payload)))
        self.link.start()
        eventually(lambda: self.link.connected)

    def messages(self, leaf: topics.DeviceLeaf, kind: type[M]) -> list[M]:
        """The device's messages of one leaf, read by the contract."""
        topic = topics.device(DEVICE, leaf)
        return [decode(payload, kind) for said, payload in self.received if said == topic]


class AgentProcess:
    """`edgewise-agent run` with settings of the test's own; a context manager."""

    def __init__(
        self,
        folder: Path,
        port: int,
        source: Path,
        *,
        extra: str = "",
        model: str | None = None,
        broker: str = "",
    ) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        model = model or f"factory = {json.dumps(str(FIXTURES / 'tiny-1.ewm'))}"
        self._text = (
            f'[device]\nid = "{DEVICE}"\ngroups = ["shop"]\nstate_dir = "state"\n'
            f"[broker]\nport = {port}\nkeepalive_s = 5\n{broker}"
            f"[model]\n{model}\n"
            f"[source]\nurl = {json.dumps(str(source))}\n"
        )
        self.configure(extra)
        self._environ: dict[str, str] = {}
        self.process: subprocess.Popen[str] | None = None

    def configure(self, extra: str) -> None:
        """Write the settings; `extra` goes behind the [source] section."""
        self.config.write_text(self._text + extra)

    def start(self, **environ: str) -> "AgentProcess":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "run", "--config", str(self.config)],
            cwd=REPOSITORY,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=(self.folder / "agent.log").open("a"),
            text=True,
        )
        return self

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Exit status and summary."""
        assert self.process is not None
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        lines = out.splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}

    def stop(self) -> tuple[int, dict[str, Any]]:
        self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> "AgentProcess":
        return self if self.process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
