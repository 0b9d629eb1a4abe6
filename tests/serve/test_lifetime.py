"""A server's life: ready when its model answered, a new model without a lost request, and an end in order."""

import json
import os
import shutil
import signal
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.serve.conftest import FIXTURES
from tests.serve.process import ServeProcess

BODY = json.dumps({"instances": [[0] * 2304]}).encode()
KIND = {"Content-Type": "application/json"}


def replace(package: Path, by: str) -> None:
    """As a release side does: a whole file under another name, then renamed."""
    beside = package.with_suffix(".new")
    shutil.copy(FIXTURES / by, beside)
    beside.rename(package)


class Load:
    """Clients with open connections that ask without a pause."""

    def __init__(self, port: int, clients: int = 2) -> None:
        self.answered: list[int] = [0] * clients
        self.lost: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, number)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, port: int, number: int) -> None:
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        while not self._ended.is_set():
            try:
                client.request("POST", "/invocations", BODY, KIND)
                response = client.getresponse()
                if response.status != 200:
                    self.lost.append(response.read().decode())
                response.read()
            except OSError as error:
                self.lost.append(repr(error))
                return
            self.answered[number] += 1
        client.close()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def release(server: ServeProcess) -> str:
    return str(server.ask("GET", "/v2/models/tiny").json()["versions"][0])


def test_models_are_exchanged_under_load_without_a_lost_request_and_an_unfit_one_changes_nothing(
    tmp_path: Path,
) -> None:
    package = tmp_path / "model.ewm"
    replace(package, "tiny-1.ewm")
    config = "[model]\nlook_every_s = 3600.0\n"
    with ServeProcess(tmp_path, ["run", "--package", str(package)], config=config) as server:
        server.ready()
        load = Load(server.port)
        try:
            for number in (2, 1):
                replace(package, f"tiny-{number}.ewm")
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda wanted=number: release(server) == str(wanted), server.log.read_text)
            package.with_suffix(".new").write_bytes(b"no package")
            package.with_suffix(".new").rename(package)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: "tiny 1 goes on answering" in server.log.read_text())
        finally:
            load.end()
        assert load.lost == []
        assert min(load.answered) > 0
        assert release(server) == "1"
        metrics = server.ask("GET", "/metrics").body.decode()
        counted = [
            line.rpartition(" ")[2] for line in metrics.splitlines() if line.startswith("edgewise_serve_models_")
        ]
        assert counted == ["3", "1"]  # loaded, and refused


def test_a_package_that_is_replaced_is_found_without_a_signal_and_requests_open_at_sigterm_are_answered(
    tmp_path: Path,
) -> None:
    package = tmp_path / "model.ewm"
    replace(package, "tiny-1.ewm")
    config = "[model]\nlook_every_s = 0.1\n"
    with ServeProcess(tmp_path, ["run", "--package", str(package)], config=config) as server:
        server.ready()
        replace(package, "tiny-2.ewm")
        eventually(lambda: release(server) == "2")
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 60) as half:
            half.sendall(head % len(BODY) + BODY[:10])
            eventually(lambda: "connections" in server.ask("GET", "/metrics").body.decode())
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: _refused(server.port))
            half.sendall(BODY[10:])
            found = half.recv(65536)
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in found
        assert server.process.wait(60) == 0


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"hello", 2, "is damaged or no .ewm package"),
        (None, 2, "there is no .ewm package at"),
        ((FIXTURES / "tiny-1.ewm").read_bytes().replace(b"TFL3", b"TFL4", 1), 2, "damaged"),
    ],
)
def test_a_server_whose_first_model_is_unfit_ends_with_a_sentence(
    tmp_path: Path, content: bytes | None, status: int, says: str
) -> None:
    package = tmp_path / "model.ewm"
    if content is not None:
        package.write_bytes(content)
    with ServeProcess(tmp_path, ["run", "--package", str(package)]) as server:
        assert server.process.wait(60) == status
        last = server.log.read_text().splitlines()[-1]
        assert last.startswith("edgewise-serve: ")
        assert says in last


def test_a_setting_or_address_that_cannot_be_used_ends_it_with_a_sentence(tmp_path: Path) -> None:
    package = str(FIXTURES / "tiny-1.ewm")
    with ServeProcess(tmp_path, ["run", "--package", package], config="[limits]\nbody_byte = 3\n") as server:
        assert server.process.wait(60) == 2
        assert "limits.body_byte is no setting; write limits.body_bytes if that was meant." in server.log.read_text()
    with ServeProcess(tmp_path, ["serve"], environ={"AIP_HTTP_PORT": "http", "EDGEWISE_PACKAGE": package}) as server:
        assert server.process.wait(60) == 2
        assert "must be an address such as" in server.log.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = {"EDGEWISE_PACKAGE": package, "AIP_HTTP_PORT": str(taken.getsockname()[1])}
        with ServeProcess(tmp_path, ["serve"], environ=environ) as server:
            assert server.process.wait(60) == 1
            assert "cannot be listened on" in server.log.read_text()


def test_a_model_that_answers_its_goldens_and_then_no_numbers_fails_that_request_alone(tmp_path: Path) -> None:
    with ServeProcess(tmp_path, ["run", "--package", str(FIXTURES / "nan-1.ewm")]) as server:
        server.ready()
        dark, bright = ([value] * 256 for value in (0, 255))
        for values, status in ((dark, 200), (bright, 500), (dark, 200)):
            body = json.dumps({"instances": [values]}).encode()
            found = server.ask("POST", "/invocations", body, content_type="application/json")
            assert found.status == status
        metrics = server.ask("GET", "/metrics").body.decode()
        assert 'event="errors_model"} 1\n' in metrics
        os.kill(server.process.pid, signal.SIGINT)
        assert server.process.wait(60) == 0
