"""A private PostgreSQL for the tests that want a real one; a `conftest.py` imports the fixture."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_simulator.broker import free_port


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
        server.send_signal(signal.SIGINT)  # its fast way to stop: it waits for no connection
        server.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
