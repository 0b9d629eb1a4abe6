"""The door for MLflow's webhooks: a POST whose signature holds causes a look at the registry, and says nothing more.

What MLflow signs (`mlflow.webhooks`, after Standard Webhooks) is `DELIVERY-ID.TIMESTAMP.BODY` with HMAC-SHA256; the
headers are `X-MLflow-Delivery-Id`, `X-MLflow-Timestamp` (seconds since 1970) and `X-MLflow-Signature` (`v1,` and the
Base64 of it). The body is held against its signature and never read: whoever stole the secret can cause a look at the
registry, and no more than that.
"""

import base64
import hashlib
import hmac
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.settings_file import Secret

SECRET: Final = Secret("EDGEWISE_WEBHOOK_SECRET", "webhook-secret")
"""Where the secret comes from: a command line is seen by too many."""
SHORTEST_SECRET: Final = 16
BODY_BYTES: Final = 256 * 1024
"""A model's tags and description are in it."""
REPLAY_S: Final = 300.0
"""So far may the time that was signed be from this clock, in both directions."""

_LOOPBACK: Final = "127.0.0.1"
_CONNECTIONS: Final = 8
_REQUEST_S: Final = 10.0  # for all of one request
_DELIVERIES: Final = 10_000  # that are remembered; within the window more would be an attack, and cost a look each
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_VERSION: Final = "v1,"


class RefusedError(EdgewiseError):
    """A request is not what MLflow sends, or not by whom has the secret."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class Signed(NamedTuple):
    """The three headers."""

    delivery: str
    timestamp: str
    signature: str

    @classmethod
    def of(cls, headers: Message) -> "Signed":
        """Those of a request; what is missing is empty."""
        names = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
        return cls(*(headers.get(name, "") for name in names))


def check(signed: Signed, body: bytes, secret: bytes, now: float) -> None:
    """Return where who has the secret signed this body less than `REPLAY_S` before or after `now`.

    Raises:
        RefusedError: it is not so.
    """
    if not _ID.fullmatch(signed.delivery) or not _TIME.fullmatch(signed.timestamp):
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "it has no id or no time of delivery")
    content = f"{signed.delivery}.{signed.timestamp}.".encode() + body
    wanted = _VERSION.encode() + base64.b64encode(hmac.digest(secret, content, hashlib.sha256))
    if not hmac.compare_digest(signed.signature.encode("utf-8", "replace"), wanted):
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "its signature is not made with this secret")
    if abs(now - int(signed.timestamp)) > REPLAY_S:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "it was signed too long ago, or one of the two clocks is wrong")


def listen_address(text: str, *, exposed: bool = False) -> tuple[str, int]:
    """`PORT` or `HOST:PORT`. `exposed`: another address than this machine's own is meant.

    Raises:
        UsageError: it is neither, or it is another address and that was not said.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or _LOOPBACK
    if not _PORT.fullmatch(port) or int(port) > 65535 or text.startswith(":"):
        raise UsageError(f"--webhook {text!r} is no address", remedy=f"give HOST:PORT such as {_LOOPBACK}:9109")
    if not exposed and not _is_loopback(host):
        raise UsageError(
            f"--webhook {text!r} can be reached from other machines",
            remedy=f"listen on {_LOOPBACK} behind a proxy that speaks TLS, or add --webhook-exposed",
        )
    return host, int(port)


def checked_secret(secret: str | None) -> bytes:
    """The secret as what signs.

    Raises:
        UsageError: there is none, or it can be guessed.
    """
    if not secret:
        raise UsageError("a webhook needs its secret", remedy=f"set {SECRET} to the one that MLflow signs with")
    if len(secret) < SHORTEST_SECRET:
        raise UsageError(
            f"the webhook's secret has fewer than {SHORTEST_SECRET} characters",
            remedy="make one: `openssl rand -hex 32`",
        )
    return secret.encode()


class Webhook:
    """A listener; `wake` is called on its threads."""

    def __init__(
        self,
        address: tuple[str, int],
        secret: bytes,
        wake: Callable[[], None],
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Listen; nothing is answered before `with`. `say` is called with a sentence for the operator's log.

        Raises:
            EdgewiseError: the address is taken, or not of this machine.
        """
        self._secret, self._wake, self._say, self._now = secret, wake, say, now
        self._deliveries: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._said = ""
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        try:
            self._server = _Server(address, self)
        except OSError as error:
            raise EdgewiseError(
                f"the webhook cannot listen on {address[0]}:{address[1]} ({error.strerror})",
                remedy="give another address with --webhook",
            ) from error
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.1), name="webhook", daemon=True)

    def __enter__(self) -> "Webhook":
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

    def arrived(self, signed: Signed, body: bytes) -> None:
        """Check one delivery, and wake; the same one again is acknowledged and wakes nobody.

        Raises:
            RefusedError: as `check`.
        """
        check(signed, body, self._secret, self._now())
        with self._lock:
            self._said = ""
            known = signed.delivery in self._deliveries
            self._deliveries[signed.delivery] = None
            while len(self._deliveries) > _DELIVERIES:
                self._deliveries.popitem(last=False)
        if not known:
            self._wake()

    def refused(self, why: str) -> None:
        """Say it, once until one is right: a wrong secret is to be found."""
        with self._lock:
            new, self._said = self._said != why, why
        if new:
            self._say(f"A webhook was refused: {why}. The registry is looked at every 30 s all the same.")

    def enter(self) -> bool:
        """One more connection, if there is room."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """One connection less."""
        self._free.release()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: Webhook) -> None:
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
            owner.arrived(Signed.of(self.headers), self._body())
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
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or "Transfer-Encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "it does not say how long it is")
        if int(length) > BODY_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it is longer than {BODY_BYTES} bytes")
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
