"""The second half: broker, bridge and agents as real processes; a release is pushed, the next one rolled out."""

import contextlib
import json
import shutil
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from demo import clip
from demo.processes import Processes, tool
from demo.steps import Steps, run
from edge_contract.errors import EdgewiseError, ExitCode
from edge_contract.package import read_file
from edge_fleet.rollout.serving import is_served
from edge_simulator.broker import Broker, free_port

DEVICE = "demo-camera"
FURTHER = ("demo-camera-2", "demo-camera-3")
"""They join for the rollout."""
GROUP = "demo"
PLAN = Path(__file__).with_name("rollout.toml")
UPDATE_SECONDS = 120.0


class Fleet:
    """One broker, one bridge, one agent, and the release side's folder, all under one directory; a context manager."""

    def __init__(self, folder: Path, steps: Steps, *, camera: str | None) -> None:
        self._folder = folder.resolve()
        self._processes = Processes(self._folder / "logs")
        self._steps = steps
        self._camera = camera
        self._http = free_port()
        self._broker = Broker(self._folder / "broker")
        self._repository = self._folder / "fleet"

    @property
    def dashboard(self) -> str:
        """Where the dashboard is."""
        return f"http://127.0.0.1:{self._http}/"

    def start(self) -> None:
        """Make keys, start broker, bridge and agent, each ready before the next; a new fleet each time."""
        for left in ("broker", "devices", "fleet"):
            shutil.rmtree(self._folder / left, ignore_errors=True)
        with self._steps.step("signing keys") as result:
            self._edgewise("keys", "init", "--repository", str(self._repository))
            result.text = "root 2 of 3, release, online"
        source = self._source()
        with self._steps.step("broker") as result:
            self._broker.start()
            result.text = f"mosquitto on 127.0.0.1:{self._broker.port}"
        with self._steps.step("bridge and dashboard") as result:
            self._processes.start("bridge", self._bridge_arguments(), lambda: self._get("-/ready") is not None)
            result.text = self.dashboard
        with self._steps.step("agent") as result:
            self._start_agent(DEVICE, source)
            result.text = f"watching {'camera ' + source if self._camera else 'a generated clip of a real face'}"

    def push(self, package: Path) -> int:
        """Sign, push and wait until the running agent reports this release as active; return its number.

        Raises:
            EdgewiseError: the agent did not activate it; the text names the reason.
        """
        manifest = read_file(package).manifest
        with self._steps.step(f"release and push {manifest.name} {manifest.release}") as result:
            self._edgewise("release", "add", str(package), "--repository", str(self._repository))
            push = ("push", manifest.name, str(manifest.release), "--group", GROUP, "--broker", self._address)
            self._edgewise(*push, "--wait", str(UPDATE_SECONDS), "--repository", str(self._repository))
            self._processes.check()
            result.text = f"{manifest.size / 1e6:.2f} MB, verified, self-tested, active"
        return self._active_release()

    def join(self) -> None:
        """Start the further agents; returns when they run what their group runs."""
        with self._steps.step("two more agents") as result:
            for device in FURTHER:
                self._start_agent(device, self._source())
            deadline = time.monotonic() + UPDATE_SECONDS
            while {device: self._runs(device) for device in FURTHER} != dict.fromkeys(FURTHER, self._runs(DEVICE)):
                if time.monotonic() > deadline:
                    raise EdgewiseError("the further agents did not take the release", remedy="see .demo/logs")
                self._processes.check()
                time.sleep(0.5)
            result.text = f"in group {GROUP}, on the same release"

    def roll_out(self, package: Path) -> "Rollout":
        """Release it and roll it out: in shadow on all three agents, then in one wave; return what came of it."""
        manifest = read_file(package).manifest
        with self._steps.step("fleet serve"):
            served = ("fleet", "serve", "--repository", str(self._repository), "--broker", self._address)
            self._processes.start("serve", [tool("edgewise"), *served], lambda: is_served(self._repository))
        with self._steps.step(f"roll {manifest.name} {manifest.release} out") as result:
            folder, broker = ("--repository", str(self._repository)), ("--broker", self._address)
            self._edgewise("release", "add", str(package), *folder)
            begun = ("rollout", "start", manifest.name, str(manifest.release), "--group", GROUP, "--plan", str(PLAN))
            self._edgewise(*begun, *folder, *broker)
            ended = (int(ExitCode.OK), int(ExitCode.ROLLOUT_HALTED))
            told = self._edgewise("rollout", "status", "--wait", *folder, *broker, accept=ended)
            found = Rollout(
                faces=round(told["shadow"]["looks"]),
                agreement=round(told["shadow"]["agreed"] / max(1, told["shadow"]["looks"]), 3),
                verdict="pass" if told["phase"] == "completed" else "fail",
                release=self._active_release(),
            )
            result.text = (
                f"{found.verdict}: both say the same on {found.agreement:.0%} of {found.faces} faces in shadow"
            )
        for line in told["findings"]:
            self._steps.say(f"  {line['text']}")
        return found

    def watch(self, seconds: float | None) -> None:
        """Let it run, for so long or until Ctrl-C, and print where the dashboard is."""
        end = time.monotonic() + seconds if seconds is not None else None
        with contextlib.suppress(KeyboardInterrupt):  # from the line on that asks for it
            if end is None:
                self._steps.say(f"Open {self.dashboard} and press Ctrl-C to end.")
            while end is None or time.monotonic() < end:
                self._processes.check()
                time.sleep(min(1.0, max(0.0, end - time.monotonic())) if end is not None else 1.0)

    def end_agent(self) -> dict[str, Any]:
        """Stop the agent and return the summary it ends its log with.

        Raises:
            EdgewiseError: it ended badly or without a summary.
        """
        status = self._processes.stop("agent")
        if status != 0:
            raise EdgewiseError(f"the agent ended with status {status}:\n{self._processes.tail('agent')}")
        for line in reversed(self._processes.log("agent").read_text().splitlines()):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "frames" in entry:
                    return entry
        raise EdgewiseError("the agent ended without a summary", remedy="see .demo/logs/agent.log")

    def scraped(self) -> bool:
        """Whether `/metrics` parses and counts this device's frames."""
        return (self._metric("edgewise_frames_total") or 0) > 0

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.stop_all()
        self._broker.stop()

    @property
    def _address(self) -> str:
        return f"mqtt://127.0.0.1:{self._broker.port}"

    def _active_release(self) -> int:
        """The release that the first agent runs."""
        release = self._runs(DEVICE)
        if release is None:
            raise EdgewiseError(f"{DEVICE} reports no release", remedy="see .demo/logs/agent.log")
        return release

    def _runs(self, device: str) -> int | None:
        """The release that a device itself reports to run, read back through the broker; None for none."""
        devices = self._edgewise("fleet", "ls", "--broker", self._address)["devices"]
        reported = next((each["reported"] for each in devices if each["device"] == device), None)
        return int(reported["active"]["release"]) if reported and reported["active"] else None

    def _start_agent(self, device: str, source: str) -> None:
        config = self._agent_config(device, source)
        arguments = [tool("edgewise-agent"), "run", "--config", str(config)]
        name = "agent" if device == DEVICE else device
        self._processes.start(name, arguments, lambda: self._metric("edgewise_up", device) == 1)

    def _source(self) -> str:
        return self._camera or str(self._clip())

    def _clip(self) -> Path:
        path = self._folder / "clip.avi"
        if not path.exists():
            with self._steps.step("a clip of a real face") as result:
                part = path.with_name("clip.part.avi")
                frames = clip.render(part)
                part.replace(path)
                result.text = f"{frames} frames of {clip.WIDTH}x{clip.HEIGHT}"
        return path

    def _bridge_arguments(self) -> list[str]:
        database = f"sqlite:///{self._folder / 'predictions.db'}"
        listen = f"127.0.0.1:{self._http}"
        return [tool("edgewise-bridge"), "run", "--broker", self._address, "--listen", listen, "--database", database]

    def _agent_config(self, device: str, source: str) -> Path:
        path, root = self._folder / f"{device}.toml", self._repository / "root.json"
        text = json.dumps  # a TOML basic string is written as JSON writes one
        path.write_text(
            f'[device]\nid = "{device}"\nsite = "demo"\ngroups = ["{GROUP}"]\n'
            f"state_dir = {text(str(self._folder / 'devices' / device))}\n\n"
            f"[broker]\nport = {self._broker.port}\n\n"
            f"[source]\nurl = {text(source)}\nloop = true\n\n"
            f"[model]\ntrust_root = {text(str(root))}\n\n"
            '[telemetry]\ninterval_s = 2.0\n\n[log]\nformat = "json"\n'
        )
        tomllib.loads(path.read_text())
        return path

    def _edgewise(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> dict[str, Any]:
        log = self._folder / "logs" / "edgewise.log"
        done = run([tool("edgewise"), *arguments, "--json"], log, accept=accept)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(self.dashboard + path, timeout=5) as response:  # noqa: S310  # 127.0.0.1
                body: bytes = response.read()
                return body.decode()
        except (urllib.error.URLError, OSError):
            return None

    def _metric(self, name: str, device: str = DEVICE) -> float | None:
        """The sum of a metric's samples for a device, or None when there is none."""
        text = self._get("metrics")
        values = [
            sample.value
            for family in text_string_to_metric_families(text or "")
            for sample in family.samples
            if sample.name == name and sample.labels.get("device") == device
        ]
        return sum(values) if values else None


@dataclass(frozen=True, slots=True)
class Rollout:
    """What came of a rollout."""

    faces: int
    """Looked at by both releases."""
    agreement: float
    """Share of them on which both named the same label."""
    verdict: str
    """`pass`, and the release runs; `fail`, and it went back."""
    release: int
    """What runs now."""


def measured(fleet: Fleet, before: int, rollout: Rollout) -> dict[str, Any]:
    """What this run measured, ending the first agent, which ran from the start."""
    scraped = fleet.scraped()
    summary = fleet.end_agent()
    return {
        "frames": summary["frames"],
        "dropped": summary["dropped"],
        "predictions": summary["predictions"],
        "release_before": before,
        "release_after": rollout.release,
        "shadow_faces": rollout.faces,
        "agreement": rollout.agreement,
        "verdict": rollout.verdict,
        "p95_ms": summary["p95_ms"],
        "metrics_scraped": scraped,
    }
