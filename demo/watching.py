"""What watches a fleet, as processes on 127.0.0.1: broker, bridge, Prometheus, Alertmanager, MLflow.

With the configuration of deploy/ as it is; only addresses, and the place of the data, are of this run.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from demo.processes import Processes, tool
from demo.steps import Steps
from edge_contract.errors import EdgewiseError, UsageError
from edge_simulator.broker import Broker

PARTS: Final[Mapping[str, int]] = {
    "broker": 1883,
    "bridge": 9108,
    "alerts": 9095,
    "alertmanager": 9093,
    "prometheus": 9090,
    "mlflow": 5000,
}
"""Every part, in the order in which they start, with its usual port. `alerts` is where Alertmanager's webhooks go."""

DEPLOY: Final = Path(__file__).resolve().parents[1] / "deploy"
_PACKAGES: Final = {  # programs of the system's packages, by part: the package, and what the program is called in it
    "broker": ("mosquitto", ("mosquitto",)),
    "prometheus": ("prometheus", ("prometheus",)),
    "alertmanager": ("prometheus-alertmanager", ("prometheus-alertmanager", "alertmanager")),
}
_SEARCH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # Debian keeps daemons off a user's PATH


class Watching:
    """Starts the parts and ends them; a context manager that ends what runs."""

    def __init__(
        self,
        folder: Path,
        steps: Steps,
        *,
        ports: Mapping[str, int],
        quick: bool = False,
        registry: str = "",
        bridge: Path | None = None,
    ) -> None:
        """`ports`: of the parts that are to run; `broker` and `bridge` are.

        `quick`: one second wherever the configuration says how often or how long, as a measurement or a test wants it.

        `registry`: MLflow's store; one in the folder by default.

        `bridge`: a file with further settings of the bridge.
        """
        self.folder, self.ports, self.quick = folder.resolve(), dict(ports), quick
        self.processes = Processes(self.folder / "logs")
        self.broker = Broker(self.folder / "broker", port=self.ports["broker"])
        self._registry = registry or f"sqlite:///{self.folder / 'mlflow.db'}"
        self._bridge = bridge
        self._steps = steps

    def check(self) -> None:
        """See that every part is installed and its port free, before anything is started.

        Raises:
            EdgewiseError: one sentence with what is missing or taken, and what to do.
        """
        missing = [_PACKAGES[part][0] for part in self.ports if part in _PACKAGES and _program(part) is None]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise EdgewiseError(
                f"{' and '.join(missing)} {verb} not installed",
                remedy=f"run `sudo apt-get install --no-install-recommends {' '.join(missing)}`",
            )
        if len(set(self.ports.values())) < len(self.ports):
            raise UsageError("two parts have the same port", remedy="give each one of its own")
        for part, port in self.ports.items():
            if _taken(port):
                raise EdgewiseError(
                    f"port {port} of 127.0.0.1, which {part} is to have, is in use",
                    remedy=f"end what uses it, or give another: make up-local PORTS={part}={port + 1}",
                )

    def token(self) -> str:
        """What Alertmanager shows to receivers; made once, in a file that only this user reads."""
        path = self.folder / "alertmanager" / "webhook-token"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_urlsafe(32))
        return path.read_text()

    def start(self) -> None:
        """Start every part, each ready before the next."""
        with self._steps.step("broker") as result:
            self.broker.start()
            result.text = self.broker_url
        with self._steps.step("bridge and dashboard") as result:
            self.start_bridge()
            result.text = self.url("bridge")
        for part, title in (("alertmanager", "Alertmanager"), ("prometheus", "Prometheus"), ("mlflow", "MLflow")):
            if part in self.ports:
                with self._steps.step(title) as result:
                    getattr(self, f"_start_{part}")()
                    result.text = self.url(part)

    @property
    def broker_url(self) -> str:
        """Where devices and commands find the broker."""
        return f"mqtt://127.0.0.1:{self.ports['broker']}"

    def url(self, part: str, path: str = "/") -> str:
        """Where a part's page is."""
        return f"http://127.0.0.1:{self.ports[part]}{path}"

    def get(self, part: str, path: str) -> bytes | None:
        """What a part answers; None while it does not."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(self.url(part, path), timeout=5) as response,  # noqa: S310  # 127.0.0.1
        ):
            return bytes(response.read())
        return None

    def start_bridge(self) -> None:
        """Start the bridge, also again after it was ended."""
        config = self._bridge or self._write_bridge_config()
        self.processes.start(
            "bridge",
            [
                *(tool("edgewise-bridge"), "run", "--broker", self.broker_url),
                *("--listen", f"127.0.0.1:{self.ports['bridge']}"),
                *("--database", f"sqlite:///{self.folder / 'predictions.db'}"),
                *(("--config", str(config)) if config else ()),
            ],
            lambda: self.get("bridge", "/-/ready") is not None,
        )

    def _write_bridge_config(self) -> Path | None:
        """Where the dashboard finds Alertmanager, if there is one."""
        if "alertmanager" not in self.ports:
            return None
        file = self.folder / "bridge.toml"
        file.write_text(f'[web]\nalertmanager = "{self.url("alertmanager", "")}"\n')
        return file

    def _start_alertmanager(self) -> None:
        self.token()
        config = self.write_alertmanager_config()
        self.processes.start(
            "alertmanager",
            [
                *(_needed("alertmanager"), f"--config.file={config}", "--cluster.listen-address="),
                f"--storage.path={self.folder / 'alertmanager' / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
            ],
            lambda: self.get("alertmanager", "/-/ready") is not None,
        )

    def _start_prometheus(self) -> None:
        config = self.write_prometheus_config()
        self.processes.start(
            "prometheus",
            [
                *(_needed("prometheus"), f"--config.file={config}"),
                f"--storage.tsdb.path={self.folder / 'prometheus' / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
                # What fires before it knows Alertmanager, some seconds after its start, is sent again after so long.
                f"--rules.alert.resend-delay={'1s' if self.quick else '1m'}",
            ],
            lambda: self.get("prometheus", "/-/ready") is not None,
        )

    def _start_mlflow(self) -> None:
        server = (tool("mlflow"), "server", "--host", "127.0.0.1", "--workers", "1")
        store = ("--port", str(self.ports["mlflow"]), "--backend-store-uri", self._registry)
        artifacts = ("--artifacts-destination", str(self.folder / "mlartifacts"))
        self.processes.start("mlflow", [*server, *store, *artifacts], lambda: self.get("mlflow", "/health") is not None)

    def write_prometheus_config(self) -> Path:
        """Write Prometheus' configuration for these ports; also before a `reload`."""
        made = self.folder / "prometheus"
        made.mkdir(parents=True, exist_ok=True)
        rules = DEPLOY / "prometheus" / "rules"
        if self.quick:
            (made / "rules").mkdir(exist_ok=True)
            for each in rules.glob("*.yml"):
                text = re.sub(r"(?m)^( +(?:for|interval|keep_firing_for): )\d+\w+", r"\g<1>1s", each.read_text())
                (made / "rules" / each.name).write_text(text)
            rules = made / "rules"
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        text = text.replace("rules/*.yml", str(rules / "*.yml"))
        for part in ("bridge", "alertmanager"):
            text = text.replace(f"127.0.0.1:{PARTS[part]}", f"127.0.0.1:{self.ports.get(part, PARTS[part])}")
        if self.quick:
            text = re.sub(r"(?m)^( +\w+_(?:interval|timeout): )\d+s", r"\g<1>1s", text)
        path = made / "prometheus.yml"
        path.write_text(text)
        return path

    def write_alertmanager_config(self) -> Path:
        """Write Alertmanager's configuration for these ports; also before a `reload`."""
        text = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
        text = text.replace(f"127.0.0.1:{PARTS['alerts']}", f"127.0.0.1:{self.ports.get('alerts', PARTS['alerts'])}")
        if self.quick:
            text = re.sub(r"(?m)^( +group_(?:wait|interval): )\d+\w", r"\g<1>1s", text)
        path = self.folder / "alertmanager" / "alertmanager.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def reload(self, part: str) -> None:
        """Have a part read its configuration again."""
        self.processes.signal(part, signal.SIGHUP)

    def stop(self) -> None:
        """End what runs, the last started first."""
        self.processes.stop_all()
        self.broker.stop()

    def __enter__(self) -> "Watching":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def parts(given: Mapping[str, int], without: Collection[str] = ()) -> dict[str, int]:
    """The ports of the parts that are to run: those given, else the usual ones.

    Raises:
        UsageError: there is no such part, or no such port, or a part that the others need is left out.
    """
    for each in (*given, *without):
        if each not in PARTS:
            raise UsageError(f"there is no part {each!r}", remedy=f"name one of {', '.join(PARTS)}")
    for part, port in given.items():
        if not 1 <= port <= 65535:
            raise UsageError(f"{port} is no port for {part}", remedy="give one from 1 to 65535")
    for each in ("broker", "bridge"):
        if each in without:
            raise UsageError(f"the {each} is what the other parts watch", remedy="leave out others")
    return {part: given.get(part, port) for part, port in PARTS.items() if part not in without}


def _program(part: str) -> str | None:
    found = (shutil.which(name, path=_SEARCH) for name in _PACKAGES[part][1])
    return next((each for each in found if each is not None), None)


def _needed(part: str) -> str:
    program = _program(part)
    if program is None:
        package = _PACKAGES[part][0]
        raise EdgewiseError(
            f"{package} is not installed", remedy=f"run `sudo apt-get install --no-install-recommends {package}`"
        )
    return program


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
