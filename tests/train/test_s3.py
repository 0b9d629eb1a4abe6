"""DVC's data and MLflow's artifacts on S3, as docs/pipeline.md sets them up, against moto's server over HTTP.

Not Amazon's, nor MinIO's: what these add (regions, TLS, policies) is not seen here.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient

from edge_contract.package import ModelPackage
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.mlflow import Store
from edge_fleet.registry.registry import Registry
from tests.eventually import eventually
from tests.mlflow_store import new_store
from tests.train.checkout import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "no-secret-at-all", "AWS_DEFAULT_REGION": "us-east-1"}
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Bucket:
    """An empty bucket of moto's server."""

    url: str

    def names(self) -> list[str]:
        listed = self.client().list_objects_v2(Bucket="edgewise")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def client(self) -> "boto3.client":  # type: ignore[valid-type]
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    made = Bucket(f"http://127.0.0.1:{port}")
    try:

        def answers() -> bool:
            with socket.socket() as door:
                return door.connect_ex(("127.0.0.1", port)) == 0

        eventually(answers)
        made.client().create_bucket(Bucket="edgewise")
        yield made
    finally:
        server.terminate()
        server.wait()


def test_data_travel_from_one_checkout_to_another_through_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """Address and keys of the service stay out of git: in config.local, and in the environment."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    run(ours, "git", "init", "--quiet")
    run(ours, *DVC, "init", "--quiet")
    (ours / "data").mkdir()
    (ours / "data" / "dataset.npz").write_bytes(os.urandom(300_000))
    run(ours, *DVC, "add", "--quiet", "data/dataset.npz")
    run(ours, *DVC, "remote", "add", "--default", "shared", "s3://edgewise/dvc")
    run(ours, *DVC, "remote", "modify", "--local", "shared", "endpointurl", bucket.url)
    run(ours, *DVC, "push", "--quiet", **KEYS)
    assert any(key.startswith("dvc/files/md5/") for key in bucket.names())
    run(ours, "git", "add", "--all")
    run(ours, "git", "commit", "--quiet", "-m", "data")
    run(tmp_path, "git", "clone", "--quiet", str(ours), str(theirs))
    tracked = run(theirs, "git", "grep", "-h", "")
    assert bucket.url not in tracked
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in tracked
    run(theirs, *DVC, "remote", "modify", "--local", "shared", "endpointurl", bucket.url)
    run(theirs, *DVC, "pull", "--quiet", **KEYS)
    assert (theirs / "data" / "dataset.npz").read_bytes() == (ours / "data" / "dataset.npz").read_bytes()
    wrong = subprocess.run(
        [*DVC, "push", "--remote", "nowhere"], cwd=theirs, env={**os.environ, **KEYS}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert wrong.returncode != 0
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in wrong.stdout + wrong.stderr


def test_a_package_is_registered_into_a_bucket_and_read_back_with_its_digest(
    bucket: Bucket, tiny: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**KEYS, "MLFLOW_S3_ENDPOINT_URL": bucket.url}.items():
        monkeypatch.setenv(name, value)
    uri = new_store(tmp_path)
    client = MlflowClient(uri, uri)
    client.create_experiment("edgewise-packages", artifact_location="s3://edgewise/mlflow")
    registry = Registry(uri, Ledger(tmp_path / "ledger.jsonl"), lambda: 1_790_000_000.0, "test")
    registered = registry.register(tiny)
    assert registered.aliases == ("challenger",)
    assert any(key.endswith(tiny.file_name) for key in bucket.names())
    assert Store(uri).package(registered) == tiny
