"""Promotion as a permission: the registry against a real MLflow server with its own users."""

import configparser
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge_contract.errors import EdgewiseError
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.mlflow import CHALLENGER
from edge_fleet.registry.registry import Registry
from tests.fleet.registry.test_registry import package

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("mlflow"),
    pytest.mark.skipif(importlib.util.find_spec("flask_wtf") is None, reason="mlflow[auth] is not installed"),
]

ADMIN, OPERATOR, PASSWORD = "admin", "operator", "a-test-password-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server on loopback whose users may read by default."""
    folder = tmp_path_factory.mktemp("server")
    settings = configparser.ConfigParser()
    settings["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{folder}/users.db",
        "admin_username": ADMIN,
        "admin_password": PASSWORD,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    with (folder / "auth.ini").open("w") as file:
        settings.write(file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for this test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            if running.poll() is not None:
                pytest.fail((folder / "log").read_text()[-2000:])
            try:
                httpx.get(f"{address}/health", timeout=1).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.25)
        made = httpx.post(
            f"{address}/api/2.0/mlflow/users/create",
            json={"username": OPERATOR, "password": PASSWORD},
            auth=(ADMIN, PASSWORD),
            timeout=30,
        )
        made.raise_for_status()
        yield address
    finally:
        running.terminate()
        running.wait(30)


def as_user(
    server: str, user: str, ledger: Path, monkeypatch: pytest.MonkeyPatch, password: str = PASSWORD
) -> Registry:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    return Registry(server, Ledger(ledger), lambda: 1_700_000_000.0)


def test_only_who_may_promotes_and_the_ledger_says_who(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    as_user(server, ADMIN, path, monkeypatch).register(package(1))
    operator = as_user(server, OPERATOR, path, monkeypatch)
    with pytest.raises(EdgewiseError, match="does not permit you to promote tiny 1"):
        operator.promote("tiny", 1)
    assert operator.champion("tiny") is None
    assert operator.get("tiny", 1).aliases == (CHALLENGER,)
    assert [entry.action for entry in operator.history()] == ["register"]
    httpx.post(
        f"{server}/api/3.0/mlflow/users/permissions/grant",
        json={"username": OPERATOR, "resource_type": "registered_model", "resource_id": "tiny", "permission": "MANAGE"},
        auth=(ADMIN, PASSWORD),
        timeout=30,
    ).raise_for_status()
    as_user(server, OPERATOR, path, monkeypatch).promote("tiny", 1)
    assert [(entry.actor, entry.action) for entry in operator.history()] == [(ADMIN, "register"), (OPERATOR, "promote")]


def test_a_wrong_password_is_one_sentence(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = as_user(server, OPERATOR, tmp_path / "ledger.jsonl", monkeypatch, password=PASSWORD[::-1])
    with pytest.raises(EdgewiseError, match="does not permit you to list models"):
        stranger.versions()
