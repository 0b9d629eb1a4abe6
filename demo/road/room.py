"""The room of `make test-road`: cameras, agents, the release side and what watches them, as real processes."""

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from demo.processes import tool
from demo.road.cameras import FPS, Cameras
from demo.steps import Steps, run
from demo.watching import PARTS, Watching
from edge_contract.errors import EdgewiseError
from edge_fleet.rollout.serving import is_served
from edge_simulator.broker import free_port

HALL: Final = ("hall-1", "hall-2", "hall-3")
"""They look at one hall, whose window loses its blind."""
DOOR: Final = "door"
"""It looks at the door, and is knocked against."""
GROUP: Final = "cameras"
MODEL: Final = "synthetic"
LOCK: Final = f"loop-{MODEL}.lock"
PATIENCE_S: Final = 240.0
_LOOKS_S: Final = 1.0


class Room:
    """Everything but the training; a context manager that ends what runs."""

    def __init__(self, folder: Path, cameras: Cameras, steps: Steps) -> None:
        self.folder, self.cameras = folder, cameras
        self._steps = steps
        self.repository = folder / "fleet"
        ports = {part: free_port() for part in PARTS if part != "mlflow"}  # the registry is a file
        self._bridge_file = folder / "bridge.toml"
        self.watching = Watching(folder, steps, ports=ports, quick=True, bridge=self._bridge_file)
        self.label_key = folder / "labels.key"
        self.loop_file, self.field, self.ledger = folder / "loop.toml", folder / "field", folder / "ledger.jsonl"

    @property
    def mlflow(self) -> str:
        """The registry's address."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def start(self) -> None:
        """Keys, then what watches, then the release side and the agents, each ready before the next."""
        with self._steps.step("signing and labelling keys"):
            self.edgewise("keys", "init", "--repository", str(self.repository))
            run([tool("edgewise-bridge"), "labels", "key", str(self.label_key)], self._log)
        self._write_bridge()
        self.watching.start()
        with self._steps.step("fleet serve"):
            served = ("fleet", "serve", "--repository", str(self.repository), "--broker", self.watching.broker_url)
            self.watching.processes.start("serve", [tool("edgewise"), *served], lambda: is_served(self.repository))
        with self._steps.step("four agents") as result:
            for device in (*HALL, DOOR):
                self._start_agent(device)
            result.text = f"{FPS} frames a second each"

    def edgewise(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> Any:
        """What a command of `edgewise` answers as JSON."""
        done = run([tool("edgewise"), *arguments, "--json"], self._log, accept=accept)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def release_side(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> Any:
        """The same for a command that wants the folder and the broker."""
        where = ("--repository", str(self.repository), "--broker", self.watching.broker_url)
        return self.edgewise(*arguments, *where, accept=accept)

    def add_release(self, package: Path) -> None:
        """Sign it."""
        self.edgewise("release", "add", str(package), "--repository", str(self.repository))

    def push(self, name: str, release: int) -> None:
        """Give the group its first release."""
        self.release_side("push", name, str(release), "--group", GROUP, "--wait", "120")

    def register(self, package: Path) -> None:
        """Make it a challenger in the registry."""
        self.edgewise("registry", "register", str(package), *self._registry)

    def promote(self, release: int) -> None:
        """Make the road's model the champion."""
        self.edgewise(
            "registry", "promote", MODEL, str(release), "--reason", "its first rollout passed", *self._registry
        )

    @property
    def _registry(self) -> tuple[str, ...]:
        return ("--registry", self.mlflow, "--ledger", str(self.ledger))

    def runs(self) -> dict[str, int]:
        """The release that each device reports to run."""
        devices = self.edgewise("fleet", "ls", "--broker", self.watching.broker_url)["devices"]
        return {
            each["device"]: int(each["reported"]["active"]["release"])
            for each in devices
            if each["reported"] and each["reported"]["active"]
        }

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples with these labels, of the bridge's page; None for none."""
        text = (self.watching.get("bridge", "/metrics") or b"").decode()
        values = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(values) if values else None

    def alerts(self, name: str) -> list[dict[str, str]]:
        """The labels of each alert of this name that Alertmanager holds as firing."""
        asked = urllib.parse.quote(f'alertname="{name}"')
        body = self.watching.get("alertmanager", f"/api/v2/alerts?filter={asked}") or b"[]"
        return [each["labels"] for each in json.loads(body)]

    def until(
        self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_S, *, every: float = _LOOKS_S
    ) -> Any:
        """What `holds` gives once it is true; looked at so often, in seconds.

        Raises:
            EdgewiseError: it never was.
        """
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            self.watching.processes.check()
            if time.monotonic() > deadline:
                raise EdgewiseError(f"it never came to this: {what}", remedy=f"see {self.folder / 'logs'}")
            time.sleep(every)
        return found

    def labels(self, *arguments: str) -> None:
        """A command of `edgewise labels`."""
        run([tool("edgewise"), "labels", *arguments, "--config", str(self._bridge_file)], self._log)

    def package_of(self, run_: Mapping[str, Any]) -> Path:
        """The package that a run of the loop made."""
        release = run_["release"]["release"]
        found = next(self.folder.rglob(f"{MODEL}-{release}.ewm"), None)
        if found is None:
            raise EdgewiseError(f"{MODEL}-{release}.ewm is not in {self.folder}")
        return found

    def start_loop(self, checkout: Path, plan: Path) -> None:
        """The loop of the road's model, with a checkout to train in; Alertmanager's webhooks go to it."""
        text = json.dumps
        self.loop_file.write_text(
            f'model = "{MODEL}"\ngroup = "{GROUP}"\nrepository = {text(str(self.repository))}\n'
            f'listen = "127.0.0.1:{self.watching.ports["alerts"]}"\n\n'
            f"[broker]\nurl = {text(self.watching.broker_url)}\n\n"
            "[limits]\ngather_s = 2\nlasting_hours = 0\ncooldown_hours = 0\n\n"
            f"[labels]\nfield = {text(str(self.field))}\nenough = 100\n\n"
            f"[training]\ncheckout = {text(str(checkout))}\nwork = {text(str(self.folder / 'loop'))}\n\n"
            f"[rollout]\nplan = {text(str(plan))}\n\n"
            f"[registry]\nuri = {text(self.mlflow)}\nledger = {text(str(self.ledger))}\n"
        )
        environment = {"EDGEWISE_LOOP_TOKEN": self.watching.token()}
        command = [tool("edgewise"), "loop", "serve", "--config", str(self.loop_file)]
        self.watching.processes.start("loop", command, lambda: is_served(self.repository, LOCK), environment)

    def loop(self, *arguments: str) -> Any:
        """What a command of `edgewise loop` answers."""
        return self.edgewise("loop", *arguments, "--config", str(self.loop_file))

    @property
    def _log(self) -> Path:
        return self.folder / "logs" / "commands.log"

    def _write_bridge(self) -> None:
        text, labels = json.dumps, str(self.folder / "labels.db")
        self._bridge_file.write_text(
            f"[web]\nalertmanager = {text(self.watching.url('alertmanager', ''))}\n\n"
            "[drift]\ncommission_tracks = 100\ncommission_hours = 0\nevery_s = 5\n\n"
            f"[labels]\nkey = {text(str(self.label_key))}\ndatabase = {text(labels)}\n"
        )

    def _start_agent(self, device: str) -> None:
        path, text, now = self.folder / f"{device}.toml", json.dumps, time.time()
        path.write_text(
            f'[device]\nid = "{device}"\nsite = "office"\ngroups = ["{GROUP}"]\n'
            f"state_dir = {text(str(self.folder / 'devices' / device))}\n\n"
            f"[broker]\nport = {self.watching.ports['broker']}\n\n"
            f"[source]\nurl = {text(self.cameras.url(device))}\n\n"
            "[pipeline.locate.cadence]\ndetect_every = 3\n\n"
            f"[model]\ntrust_root = {text(str(self.repository / 'root.json'))}\n\n"
            "[telemetry]\ninterval_s = 2.0\n\n"
            f"[sampling]\nkey = {text(str(self.label_key) + '.pub')}\nshare = 1.0\nper_minute = 600\nper_hour = 10000\n"
            "per_day = 10000\n\n"
            '[sampling.consent]\nby = "those who are drawn"\npurpose = "to show the road"\n'
            f"given = {_moment(now - 60)}\nuntil = {_moment(now + 86400)}\n"
        )
        arguments = [tool("edgewise-agent"), "run", "--config", str(path)]
        self.watching.processes.start(device, arguments, lambda: self.metric("edgewise_up", device=device) == 1)

    def __enter__(self) -> "Room":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watching.stop()


def _moment(seconds: float) -> str:
    """As TOML writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
