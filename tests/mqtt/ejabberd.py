"""A private ejabberd on 127.0.0.1: a second broker with MQTT 5, written by others and in another language.

What holds on mosquitto alone may be mosquitto's doing. It is started without distribution, so it opens no other port.
"""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

from edge_simulator.broker import Broker, free_port

_PASSWORD: Final = "a-test-password-1"  # noqa: S105
_HOST: Final = "localhost"
_USERS: Final = ("release", "camera")
_CONFIG: Final = """
hosts: [{host}]
loglevel: warning
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: mod_mqtt
    backlog: 100
    max_payload_size: 1048576
auth_method: [internal]
modules:
  mod_mqtt:
    max_queue: 100000
    session_expiry: 30 days
"""
_REGISTER: Final = """
Register = fun Again(User) ->
    case catch ejabberd_auth:try_register(User, <<"{host}">>, <<"{password}">>) of
        ok -> ok;
        {{error, exists}} -> ok;
        _ -> timer:sleep(100), Again(User)
    end
end,
lists:foreach(Register, [{users}]),
ok = file:write_file("{done}", <<>>).
"""


class Ejabberd:
    """One process with its own folder and port; usable as a context manager, as `edge_simulator.broker.Broker` is."""

    def __init__(self, directory: Path) -> None:
        """Skips the test where it is not installed."""
        self._directory, self.port = directory, free_port()
        found = glob.glob("/usr/lib/*/ejabberd-*/ebin/ejabberd.app")  # noqa: PTH207  # Debian's place
        if not found or shutil.which("erl") is None:
            pytest.skip("ejabberd is not installed (apt-get install --no-install-recommends ejabberd)")
        self._libraries = str(Path(found[0]).parents[2])
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def account(user: str) -> dict[str, str]:
        """What a client of it logs in with: `release` or `camera`."""
        return {"username": f"{user}@{_HOST}", "password": _PASSWORD}

    def __enter__(self) -> "Ejabberd":
        self._directory.mkdir(parents=True)
        config, done = self._directory / "ejabberd.yml", self._directory / "ready"
        config.write_text(_CONFIG.format(host=_HOST, port=self.port))
        users = ", ".join(f'<<"{user}">>' for user in _USERS)
        register = _REGISTER.format(host=_HOST, password=_PASSWORD, users=users, done=done)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self._directory), "ERL_LIBS": self._libraries,
            "EJABBERD_CONFIG_PATH": str(config), "EJABBERD_LOG_PATH": str(self._directory / "ejabberd.log"),
            "ERL_CRASH_DUMP": os.devnull,
        }  # fmt: skip
        command = ["erl", "-mnesia", "dir", f'"{self._directory / "spool"}"', "-s", "ejabberd", "-eval", register]
        with (self._directory / "out").open("wb") as out:
            self._process = subprocess.Popen([*command, "-noinput"], env=environment, stdout=out, stderr=out)
        deadline = time.monotonic() + 60
        while not (done.exists() and self._listens()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                pytest.fail(f"ejabberd did not start: {(self._directory / 'out').read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()  # nothing of it is to be kept
            self._process.wait(20)


BROKERS: Final = (
    pytest.param(Broker, id="mosquitto"),
    pytest.param(Ejabberd, id="ejabberd", marks=pytest.mark.slow),
)
"""For a fixture with `params`: each is a class of a folder, and a context manager."""


def account_of(broker: object, user: str) -> dict[str, str]:
    """What a client of a broker logs in with; nothing on mosquitto as the tests run it."""
    return broker.account(user) if isinstance(broker, Ejabberd) else {}
