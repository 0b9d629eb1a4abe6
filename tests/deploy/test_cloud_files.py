"""Dockerfile.serve and what deploy/azure and deploy/vertex declare: closed, on routes that the server has."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

REPOSITORY: Final = Path(__file__).resolve().parents[2]
RECIPE: Final = REPOSITORY / "Dockerfile.serve"
ROUTES: Final = set(msgspec.json.decode((REPOSITORY / "edge_serve" / "openapi.json").read_bytes())["paths"])


def _read(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / "deploy" / name).read_text())


def test_the_image_is_built_without_a_network_from_pinned_wheels_and_does_not_run_as_root() -> None:
    text = RECIPE.read_text()
    installs = [step for step in re.split(r"&&|\nRUN", text) if "pip install" in step]
    assert len(installs) == 2
    assert all("--no-index" in step for step in installs)
    assert "--require-hashes" in installs[0]
    final = text.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert user != "0"
    assert "HEALTHCHECK" in final
    assert "VOLUME" not in final, "the root is read-only, and nothing of it is written"
    assert 'ENTRYPOINT ["edgewise-serve"]\nCMD ["serve"]' in final, "SageMaker gives the argument serve"


def test_nothing_but_what_is_copied_is_sent_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", RECIPE.read_text(), re.MULTILINE)
    sent = RECIPE.with_name("Dockerfile.serve.dockerignore").read_text().split()
    assert sent[0] == "*"
    arches = {each.replace("${WHEELS}", arch) for each in copied for arch in ("amd64", "arm64")}
    assert sorted(sent[1:]) == sorted(f"!{path}" for path in arches)


def test_hadolint_finds_nothing_in_the_recipe() -> None:
    beside = str(Path(sys.executable).parent)
    hadolint = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    said = subprocess.run([hadolint, RECIPE], capture_output=True, text=True, check=False, timeout=60)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("script", ["deploy/serve/image.sh", "deploy/arm64/base.sh", "deploy/arm64/wheels.sh"])
def test_a_script_is_read_by_bash(script: str) -> None:
    done = subprocess.run(["bash", "-n", REPOSITORY / script], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_route_that_a_cloud_is_told_of_is_the_servers_or_named_to_it() -> None:
    azure = _read("azure/deployment.yml")["environment"]["inference_config"]
    app = _read("azure/containerapp.yml")["properties"]["template"]["containers"]
    vertex = _read("vertex/model.yaml")["model"]["containerSpec"]
    told = {route["path"] for route in azure.values()}
    told |= {probe["httpGet"]["path"] for container in app for probe in container["probes"]}
    told |= {vertex["healthRoute"], vertex["startupProbe"]["httpGet"]["path"], vertex["healthProbe"]["httpGet"]["path"]}
    assert told <= ROUTES  # Vertex names its predict route to the server, in AIP_PREDICT_ROUTE
    runner = (REPOSITORY / "deploy" / "aws" / "apprunner.yaml").read_text()
    assert re.findall(r"Path: (\S+)", runner) == ["/ping"]
    assert {"/ping", "/invocations", "/metrics"} <= ROUTES


def test_every_cloud_is_told_the_port_on_which_the_server_listens_there() -> None:
    azure = _read("azure/deployment.yml")["environment"]["inference_config"]
    app = _read("azure/containerapp.yml")["properties"]
    vertex = _read("vertex/model.yaml")["model"]["containerSpec"]
    ports = {route["port"] for route in azure.values()} | {app["configuration"]["ingress"]["targetPort"]}
    ports |= {probe["httpGet"]["port"] for each in app["template"]["containers"] for probe in each["probes"]}
    ports |= {probe["containerPort"] for probe in vertex["ports"]}
    assert ports == {8080}
