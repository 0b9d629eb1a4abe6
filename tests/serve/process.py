"""`edgewise-serve` as a real process, for tests that ask, signal and kill it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_simulator.broker import free_port
from tests.eventually import eventually

REPOSITORY = Path(__file__).resolve().parents[2]


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class ServeProcess:
    """A server on a port of its own."""

    def __init__(
        self, folder: Path, arguments: Sequence[str], *, config: str = "", environ: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.log = folder / "serve.log"
        file = folder / "serve.toml"
        file.write_text(config)
        listen = ["--listen", f"127.0.0.1:{self.port}"] if arguments[0] == "run" else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_serve", *arguments, *listen, "--config", str(file)],
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
            )

    def ready(self) -> "ServeProcess":
        """Wait until its model answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.ask("GET", "/ping").status == 200
            except OSError:
                return False

        try:
            eventually(answers, self.log.read_text)
        except BaseException:
            self.process.kill()
            raise
        return self

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; `content_type` is the header Content-Type."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = client.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            client.close()

    def stop(self) -> int:
        """End it in order; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> "ServeProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
