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


class PostgreSQL:
    """A server of its own on 127.0.0.1, which anybody may enter; `start` after `stop` brings the same one back."""

    def __init__(self) -> None:
        """Skips where its programs are missing."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # where Debian keeps them, off the PATH
        initdb = str(found[-1]) if found else shutil.which("initdb")
        if initdb is None:
            pytest.skip("PostgreSQL's server programs are not installed (apt-get install postgresql)")
        self._programs, self.port = Path(initdb).parent, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="edgewise-postgresql-"))  # pytest's own are closed to other users
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL does not run as root, and there is no user postgres to run it")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as_user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        self.data = self.folder / "data"
        made = subprocess.run(
            [*self._as_user, initdb, "--pgdata", self.data, "--auth=trust", "--username=postgres", "--no-sync"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        assert made.returncode == 0, made.stderr
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Of a database there. A user may be `name:password`."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg  # noqa: PLC0415  # only where the fixture did not skip

        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*self._as_user, self._programs / "postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1",
                 "-k", self.folder],
                stdout=log, stderr=subprocess.STDOUT, cwd="/",
            )  # fmt: skip
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it the fast way, which waits for no connection."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(20)

    def close(self) -> None:
        """Stop it, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty private PostgreSQL; skips where its programs or its driver are missing."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed (psycopg)")
    server = PostgreSQL()
    try:
        server.start()
        yield server.url()
    finally:
        server.close()
