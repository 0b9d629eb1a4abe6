"""Motion JPEG over HTTP, as IP cameras, mjpg-streamer and ESP32 boards send it.

Read by our own small client rather than FFmpeg's: it has a limit on every wait and size, and decodes each JPEG straight
to its grey plane. How pictures are cut out of the stream is `multipart`'s to know, who asks `http_login`'s.
"""

import http.client
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from edge_agent.camera.http_login import Account, authorization
from edge_agent.camera.multipart import Pictures
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from edge_contract.public_url import public_url, without_secrets
from edge_contract.tls_client import client_context
from edge_vision.picture import Pixels, decode

_READ: Final = 64 * 1024
_REDIRECTS: Final = 5
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_AS_IT_IS: Final = "/%:=&;+$,!*'()@~?-._"  # of a path or query; the rest is escaped for the request's line


class MjpegSource:
    """An IP camera's MJPEG address; user and password may stand in the URL."""

    def __init__(self, url: str, settings: SourceSettings) -> None:
        self._url = url
        self.settings = settings
        self.traits = SourceTraits(public_url(url), kind="mjpeg", live=True, camera=True, fps=settings.fps)
        if not urlsplit(url).hostname:
            raise UsageError(f"{self.traits.name!r} names no host", remedy="give http://HOST/PATH")

    def connect(self) -> "MjpegStream":
        """Ask for the stream.

        Raises:
            SourceError: there is no answer, or one that is no MJPEG stream.
        """
        parts = urlsplit(self._url)
        account = None
        if parts.username is not None:
            account = Account(unquote(parts.username), unquote(parts.password or ""))
        login = ""
        for _ in range(2 * _REDIRECTS):
            connection, response = self._ask(parts, login)
            if response.status == http.client.OK:
                return self._stream(connection, response)
            connection.close()
            if response.status in _MOVED:
                parts, login = self._moved(parts, response.headers.get("Location", "")), ""
            elif response.status == http.client.UNAUTHORIZED and account is not None and not login:
                login = authorization(response.headers.get_all("WWW-Authenticate", []), account, "GET", _target(parts))
            else:
                raise SourceError(
                    f"{self.traits.name} answers {response.status} {self._shown(response.reason)}",
                    remedy="check path and password",
                )
        raise SourceError(f"{self.traits.name} redirects in a circle", remedy="check address and camera")

    def _ask(self, parts: SplitResult, login: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """One request and the head of its answer, each within `open_timeout`; from then on `read_timeout` holds."""
        connection = None
        try:
            connection = self._connection(parts)
            connection.connect()
            sock = connection.sock  # an answer that ends with the connection takes it over
            headers = {"Accept": "multipart/x-mixed-replace, image/jpeg"} | ({"Authorization": login} if login else {})
            connection.request("GET", _target(parts), headers=headers)
            response = connection.getresponse()
            sock.settimeout(self.settings.read_timeout)
        except (OSError, ValueError, http.client.HTTPException) as error:
            if connection is not None:  # else the address has a host that no request can name
                connection.close()
            raise SourceError(
                f"{self.traits.name} does not answer ({self._shown(str(error))})", remedy="check address and camera"
            ) from error
        return connection, response

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port, timeout, ca = parts.hostname or "", parts.port, self.settings.open_timeout, self.settings.ca
        if parts.scheme.lower() != "https":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            context = client_context(ca)
        except OSError as error:  # ssl.SSLError is one
            raise SourceError(f"source.ca {ca} cannot be used ({error})", remedy="name a PEM file") from error
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)

    def _moved(self, parts: SplitResult, location: str) -> SplitResult:
        """Where the camera sends us, on the same host and not out of TLS: the password goes nowhere else.

        Raises:
            SourceError: it is another host, or no address.
        """
        where = urljoin(parts.geturl(), location)
        try:
            to = urlsplit(where)
            same = to.hostname == parts.hostname and to.port != 0
        except ValueError:
            same, to = False, parts
        downgrade = parts.scheme.lower() == "https" and to.scheme.lower() != "https"
        if not same or downgrade or to.scheme.lower() not in {"http", "https"}:
            raise SourceError(
                f"{self.traits.name} redirects to {self._shown(public_url(where))}",
                remedy="set source.url to that address if it is the camera's",
            )
        return to

    def _stream(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> "MjpegStream":
        if response.headers.get_content_maintype() != "multipart":
            connection.close()
            response.close()
            kind = self._shown(response.headers.get_content_type())
            raise SourceError(f"{self.traits.name} sends {kind}, not an MJPEG stream (multipart/x-mixed-replace).")
        return MjpegStream(connection, response, self.settings.fps)

    def _shown(self, text: str) -> str:
        """A foreign text without the address's secrets and control characters."""
        shown = without_secrets(text[:200], [self._url])
        return "".join(sign if sign.isprintable() else " " for sign in shown)


def _target(parts: SplitResult) -> str:
    """Path and query as they stand in the request."""
    query = f"?{quote(parts.query, safe=_AS_IT_IS)}" if parts.query else ""
    return quote(parts.path or "/", safe=_AS_IT_IS) + query


class MjpegStream:
    """An open MJPEG stream."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        fps: float,
    ) -> None:
        self.fps = fps
        self._connection = connection
        self._response = response
        self._pictures = Pictures()
        self._waiting: list[bytes] = []
        self._current = b""

    def grab(self) -> bool:
        """Wait for a whole JPEG. False when the camera ends the stream.

        Raises:
            SourceError: the connection broke, was silent too long, or sends something else.
        """
        while not self._waiting:
            try:
                data = self._response.read1(_READ)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise SourceError(f"the MJPEG stream broke ({error}).") from error
            if not data:
                return False
            self._waiting += self._pictures.feed(data)  # several at once: the mailbox drops, and counts
        self._current = self._waiting.pop(0)
        return True

    def retrieve(self, *, gray: bool) -> Pixels:
        """The JPEG decoded.

        Raises:
            UsageError: it is damaged.
        """
        return decode(self._current, gray=gray)

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
        self._connection.close()
