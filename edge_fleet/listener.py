"""A small HTTP listener for webhooks: it takes a POST of bounded size within bounded time, and answers a status alone.

Who listens says what is taken: `take` is given the headers and the body, and raises `RefusedError` for what is not.
Not here: what a request must prove (a signature, a token), and what it causes.
"""

import re
import socket
import threading
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Final

from edge_contract.errors import EdgewiseError, UsageError

LOOPBACK: Final = "127.0.0.1"
_CONNECTIONS: Final = 8
_REQUEST_S: Final = 10.0  # for all of one request
_PORT: Final = re.compile(r"[0-9]{1,5}")


class RefusedError(EdgewiseError):
    """A request is not what is listened for, or not by whom it has to be."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


def listen_address(text: str, name: str, *, exposed: bool, expose: str) -> tuple[str, int]:
    """`PORT` or `HOST:PORT`. `name`: of the option or setting. `exposed`: another address than this machine's own is
    meant; `expose`: how one says so.

    Raises:
        UsageError: it is neither, or it is another address and that was not said.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or LOOPBACK
    if not _PORT.fullmatch(port) or int(port) > 65535 or text.startswith(":"):
        raise UsageError(f"{name} {text!r} is no address", remedy=f"give HOST:PORT such as {LOOPBACK}:9109")
    if not exposed and not _is_loopback(host):
        raise UsageError(
            f"{name} {text!r} can be reached from other machines",
            remedy=f"listen on {LOOPBACK} behind a proxy that speaks TLS, or {expose}",
        )
    return host, int(port)


class Listener:
    """One address; `take` and `refused` are called on its threads."""

    def __init__(
        self,
        address: tuple[str, int],
        take: Callable[[Message, bytes], None],
        refused: Callable[[str], None],
        *,
        body_bytes: int,
        name: str,
        remedy: str,
    ) -> None:
        """Listen; nothing is answered before `with`.

        `take`: takes one request, or raises `RefusedError`. `refused` is told why one was. `body_bytes`: the largest
        body. `name` stands in errors, such as "the webhook"; `remedy`: how another address is given.

        Raises:
            EdgewiseError: the address is taken, or not of this machine.
        """
        self.take, self.refused, self.body_bytes = take, refused, body_bytes
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        try:
            self._server = _Server(address, self)
        except OSError as error:
            raise EdgewiseError(
                f"{name} cannot listen on {address[0]}:{address[1]} ({error.strerror})", remedy=remedy
            ) from error
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.1), name="listener", daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"

    def enter(self) -> bool:
        """One more connection, if there is room."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """One connection less."""
        self._free.release()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: Listener) -> None:
        self.owner = owner
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.owner.enter():
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # One that sends a byte now and then is ended too.
        too_long = threading.Timer(_REQUEST_S, lambda: _end(request))
        too_long.daemon = True
        too_long.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            too_long.cancel()
            self.owner.leave()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is not logged."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_S

    def do_POST(self) -> None:
        owner = self.server.owner
        try:
            owner.take(self.headers, self._body())
        except RefusedError as error:
            owner.refused(error.problem)
            self._answer(error.status)
        else:
            self._answer(HTTPStatus.NO_CONTENT)

    def version_string(self) -> str:
        return "edgewise"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class names it so
        """Requests are not logged."""

    def _body(self) -> bytes:
        length, most = self.headers.get("Content-Length", ""), self.server.owner.body_bytes
        if not re.fullmatch(r"[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "it does not say how long it is")
        if int(length) > most:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it is longer than {most} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone
