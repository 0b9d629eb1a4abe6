"""What the bridge's tests share: a bridge of the test's own, and a private PostgreSQL where its programs are here."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.broker import Broker, free_port
from tests.bridge.process import BridgeProcess


@pytest.fixture
def bridge(broker: Broker, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A ready bridge beside the test's broker."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    with BridgeProcess(folder, broker.port) as running:
        yield running


class Standing(NamedTuple):
    """A broker and a bridge that several tests use, each with device names of its own."""

    broker: Broker
    bridge: BridgeProcess


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Started once: a bridge takes a second or two to load."""
    folder = tmp_path_factory.mktemp("standing")
    with Broker(folder / "broker") as broker, BridgeProcess(folder, broker.port) as bridge:
        yield Standing(broker, bridge)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty private PostgreSQL; skips where its programs or its driver are missing."""
    psycopg = pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed (psycopg)")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # where Debian keeps them, off the PATH
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL's server programs are not installed (apt-get install postgresql)")
    programs, port = Path(initdb).parent, free_port()
    folder = Path(tempfile.mkdtemp(prefix="edgewise-postgresql-"))  # pytest's own folders are closed to other users
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres to run it")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    data = folder / "data"
    made = subprocess.run(
        [*as_user, programs / "initdb", "--pgdata", data, "--auth=trust", "--username=postgres", "--no-sync"],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert made.returncode == 0, made.stderr
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [*as_user, programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd="/",
    )
    try:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    server: str = request.getfixturevalue("postgresql")
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    import psycopg  # noqa: PLC0415  # only where the fixture above did not skip

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.rsplit("/", 1)[0] + f"/{name}"
