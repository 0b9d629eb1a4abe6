"""What three clouds expect of a container, on the real server as each of them starts it: variables, routes, signals.

The routes are read from deploy/, so that what is deployed is what is tried. Memory and times are bench-serve's.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from edge_contract.package import ModelPackage
from edge_simulator.broker import free_port
from tests.eventually import eventually

REPOSITORY: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = REPOSITORY / "tests" / "fixtures" / "tiny-1.ewm"
_CLOUDS: Final = ("AIP_", "AZUREML_", "SAGEMAKER_", "EDGEWISE_")


@contextmanager
def _started(folder: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`edgewise-serve serve` with nothing of another cloud in its environment."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_CLOUDS)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_serve", "serve"],
            cwd=folder,
            env={**kept, "PYTHONPATH": str(REPOSITORY), **environment},
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def _mounted(folder: Path) -> Path:
    """A model's folder, as a cloud lays it: readable, not writable."""
    mounted = folder / "mounted" / "model"
    mounted.mkdir(parents=True)
    shutil.copy(PACKAGE, mounted)
    mounted.chmod(0o555)
    return mounted


def _ready(folder: Path, address: str) -> None:
    def is_ready() -> bool:
        try:
            return httpx.get(address, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    eventually(is_ready, (folder / "log").read_text)


def _picture(tiny: ModelPackage) -> list[Any]:
    height, width = tiny.manifest.input.shape[1:3]
    return [[[row * column % 256] for column in range(width)] for row in range(height)]


def _read(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / "deploy" / name).read_text())


def test_sagemaker_pings_invokes_and_ends_it(tmp_path: Path, tiny: ModelPackage) -> None:
    port = free_port()
    environment = {"SAGEMAKER_BIND_TO_PORT": str(port), "EDGEWISE_PACKAGE": str(_mounted(tmp_path))}
    with _started(tmp_path, **environment) as process:
        _ready(tmp_path, f"http://127.0.0.1:{port}/ping")
        answered = httpx.post(f"http://127.0.0.1:{port}/invocations", json={"instances": [_picture(tiny)]}, timeout=60)
        assert answered.status_code == 200, answered.text
        (prediction,) = answered.json()["predictions"]
        assert prediction
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


def test_what_sagemaker_mounts_is_looked_for_where_it_mounts_it(tmp_path: Path) -> None:
    if Path("/opt/ml/model").exists():
        pytest.skip("there is a model of this machine's own at /opt/ml/model")
    with _started(tmp_path, SAGEMAKER_BIND_TO_PORT=str(free_port())) as process:
        assert process.wait(60) == 2
    assert "/opt/ml/model" in (tmp_path / "log").read_text()


def test_azure_finds_it_alive_ready_and_scoring_on_the_routes_of_the_deployment(
    tmp_path: Path, tiny: ModelPackage
) -> None:
    port = free_port()
    routes = _read("azure/deployment.yml")["environment"]["inference_config"]
    model = _mounted(tmp_path).parent  # Azure names the folder above the asset's own
    with _started(tmp_path, AZUREML_MODEL_DIR=str(model), SAGEMAKER_BIND_TO_PORT=str(port)):
        base = f"http://127.0.0.1:{port}"
        _ready(tmp_path, base + routes["liveness_route"]["path"])
        _ready(tmp_path, base + routes["readiness_route"]["path"])
        scored = httpx.post(
            base + routes["scoring_route"]["path"], json={"instances": [_picture(tiny)] * 2}, timeout=60
        )
        assert scored.status_code == 200, scored.text
        assert len(scored.json()["predictions"]) == 2


def test_vertex_finds_it_on_the_port_and_routes_that_it_names(tmp_path: Path, tiny: ModelPackage) -> None:
    port = free_port()
    said = _read("vertex/model.yaml")["model"]["containerSpec"]
    environment = {
        "AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": "/of/vertex/health", "AIP_PREDICT_ROUTE": said["predictRoute"],
        "EDGEWISE_PACKAGE": str(_mounted(tmp_path)),
    }  # fmt: skip
    with _started(tmp_path, **environment) as process:
        base = f"http://127.0.0.1:{port}"
        _ready(tmp_path, f"{base}/of/vertex/health")
        _ready(tmp_path, base + said["healthRoute"])
        predicted = httpx.post(base + said["predictRoute"], json={"instances": [_picture(tiny)]}, timeout=60)
        assert predicted.status_code == 200, predicted.text
        assert len(predicted.json()["predictions"]) == 1
        refused = httpx.post(base + said["predictRoute"], json={"instances": "no pictures"}, timeout=60)
        assert refused.status_code == 400
        assert process.poll() is None
