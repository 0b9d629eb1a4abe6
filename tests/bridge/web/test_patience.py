"""Half requests: each is given up, and what is whole is answered however long that takes."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from edge_bridge.web import patience
from edge_bridge.web.patience import PatientProtocol

HALF_S = 0.2


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(5 * HALF_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(patience, "HALF_S", HALF_S)
    config = uvicorn.Config(_app, port=0, http=PatientProtocol, log_config=None, lifespan="off")
    sock = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield sock.getsockname()[1]
    server.should_exit = True
    thread.join(30)
    sock.close()


@pytest.mark.parametrize(
    "half",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"],
)
def test_a_half_request_is_given_up(port: int, half: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as held:
        held.sendall(half)
        with contextlib.suppress(ConnectionResetError):
            assert held.recv(1) == b""


def test_a_whole_request_is_answered_however_long_that_takes(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body=b"whole")
    assert connection.getresponse().read() == b"ok"
    connection.close()
