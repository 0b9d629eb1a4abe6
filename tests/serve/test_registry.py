"""The registry's champion, from a real MLflow server over its REST interface; and what is refused of one."""

import http.server
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.package import read_file, write
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.registry import Registry
from edge_serve.model.registry import Champion
from edge_simulator.broker import free_port
from tests.eventually import eventually
from tests.mlflow_store import new_store
from tests.serve.conftest import FIXTURES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server on loopback."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", new_store(folder), "--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert running.poll() is None, (folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as response:  # noqa: S310  # our own server
                return bool(response.status == 200)
        except OSError:
            return False

    try:
        eventually(answers, (folder / "log").read_text)
        yield address
    finally:
        running.terminate()
        running.wait(60)


@pytest.mark.slow
def test_the_champion_is_had_once_and_again_when_another_is_promoted(server: str, tmp_path: Path) -> None:
    registry = Registry(server, Ledger(tmp_path / "ledger.jsonl"), lambda: 1_700_000_000.0)
    source = Champion("tiny@champion", server, {})
    with pytest.raises(EdgewiseError, match="does not give tiny@champion"):
        source.newest()
    for number in (1, 2):
        package = read_file(FIXTURES / f"tiny-{number}.ewm")
        registry.register(package)
        registry.promote("tiny", number)
        found = source.newest()
        assert found is not None
        assert (found.manifest, found.model) == (package.manifest, package.model)
        assert source.newest() is None
    (kept,) = {path.resolve() for path in tmp_path.parent.glob("mlflow*/artifacts/**/tiny-2.ewm")}
    kept.write_bytes(write(read_file(FIXTURES / "tiny-1.ewm")))
    with pytest.raises(TrustError, match="is not the package that was registered as tiny 2"):
        Champion("tiny@champion", server, {}).newest()


def test_names_and_addresses_that_are_none_are_refused() -> None:
    for name in ("tiny", "tiny@", "@champion", "tiny@champion/../x", "Tiny@champion"):
        with pytest.raises(UsageError, match="names no model"):
            Champion(name, "http://127.0.0.1:5000", {})
    with pytest.raises(UsageError, match="is no MLflow server"):
        Champion("tiny@champion", "sqlite:///mlflow.db", {})
    with pytest.raises(UsageError, match="no MLflow server is named; name one with --from"):
        Champion("tiny@champion", "", {})


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends whoever asks, with what they know, to another server."""

    seen: list[str] = []  # noqa: RUF012  # of the class on purpose: there is one request

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/stolen")  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_registry_that_sends_elsewhere_is_not_followed_with_the_password() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        uri = f"http://127.0.0.1:{listening.server_port}"
        source = Champion("tiny@champion", uri, {"MLFLOW_TRACKING_TOKEN": "a-secret"})
        with pytest.raises(EdgewiseError, match="302") as refused:
            source.newest()
        listening.shutdown()
        thread.join()
    assert _Elsewhere.seen == ["Bearer a-secret"]
    assert "a-secret" not in str(refused.value)
