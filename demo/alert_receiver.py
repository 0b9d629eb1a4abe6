"""Receives Alertmanager's webhooks on 127.0.0.1, checks the token, and hands each alert on: what a pager would get."""

import hmac
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from edge_contract.errors import EdgewiseError

_MOST_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification."""

    receiver: str
    """Of the configuration, such as `pager`."""
    status: str
    """`firing` or `resolved`."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    group: tuple[tuple[str, str], ...]
    """Labels that the notification's alerts share, by which they were put together."""

    @property
    def name(self) -> str:
        """Which rule it is of."""
        return self.labels.get("alertname", "")


class AlertReceiver:
    """A web server on one port; a context manager. `take` is called on its threads, once an alert."""

    def __init__(self, port: int, token: str, take: Callable[[Alert], None]) -> None:
        """
        Raises:
            EdgewiseError: the port is taken.
        """
        self.token, self.take = token, take
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        except OSError as error:
            raise EdgewiseError(
                f"port {port} of 127.0.0.1 is in use ({error.strerror})", remedy="name another"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> "AlertReceiver":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(receiver: AlertReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            given = self.headers.get("Authorization", "").encode("utf-8", "replace")
            length = self.headers.get("Content-Length", "")
            if not hmac.compare_digest(given, f"Bearer {receiver.token}".encode()):
                self.send_error(401)
            elif not length.isdecimal() or int(length) > _MOST_BYTES:
                self.send_error(413)
            elif (alerts := _alerts(self.rfile.read(int(length)))) is None:
                self.send_error(400)
            else:
                for alert in alerts:
                    receiver.take(alert)
                self.send_response(200)
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            pass

    return Handler


def _alerts(body: bytes) -> list[Alert] | None:
    """What a notification holds; None where it is none."""
    try:
        message = json.loads(body)
        group = tuple(sorted(message["groupLabels"].items()))
        return [
            Alert(message["receiver"], each["status"], each["labels"], each["annotations"], group)
            for each in message["alerts"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
