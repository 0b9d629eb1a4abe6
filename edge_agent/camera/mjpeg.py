"""Motion JPEG over HTTP: `multipart/x-mixed-replace`, as IP cameras and mjpg-streamer send it.

Read by our own small parser rather than FFmpeg's: it has timeouts on every read, a limit on every size, and decodes
each JPEG straight to its grey plane. `Multipart` is pure: bytes in, JPEGs out, however the network cuts them.
"""

import base64
import http.client
import re
import ssl
from typing import Final
from urllib.parse import unquote, urlsplit

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from edge_contract.public_url import public_url, without_secrets
from edge_vision.picture import Pixels, decode

_LARGEST_PART: Final = 16 * 1024 * 1024  # an 8K JPEG has a few megabytes
_LARGEST_HEADER: Final = 8 * 1024
_READ: Final = 64 * 1024
_LENGTH: Final = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class Multipart:
    """Cuts a multipart body into its parts. Feed it bytes as they come."""

    def __init__(self, boundary: bytes) -> None:
        """`boundary` as in the Content-Type header, without the leading dashes."""
        self._delimiter = b"--" + boundary
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the parts that are complete now, in order.

        Raises:
            SourceError: a header or body passes its limit, or this is no multipart stream.
        """
        self._buffer += data
        parts: list[bytes] = []
        while (part := self._next()) is not None:
            parts.append(part)
        return parts

    def _next(self) -> bytes | None:
        start = self._buffer.find(self._delimiter)
        if start < 0:
            if len(self._buffer) > _LARGEST_HEADER:
                raise SourceError("the stream has no part boundary where one belongs: it is no MJPEG stream.")
            return None
        head = start + len(self._delimiter)
        blank = re.compile(rb"\r?\n\r?\n").search(self._buffer, head, head + _LARGEST_HEADER)
        if blank is None:
            if len(self._buffer) - head > _LARGEST_HEADER:
                raise SourceError(f"a part's header in the stream passes {_LARGEST_HEADER} bytes: it is no MJPEG.")
            return None
        body = blank.end()
        length = _LENGTH.search(self._buffer[head:body])
        if length is not None:
            end = body + int(length[1])
            if end - body > _LARGEST_PART:
                raise SourceError(f"a picture in the stream passes the limit of {_LARGEST_PART} bytes.")
            if len(self._buffer) < end:
                return None
        else:
            # Without a length the part lasts until the next delimiter, with the line break before it.
            end = self._buffer.find(self._delimiter, max(body, self._searched))
            if end < 0:
                if len(self._buffer) - body > _LARGEST_PART:
                    raise SourceError(f"a picture in the stream passes the limit of {_LARGEST_PART} bytes.")
                self._searched = max(body, len(self._buffer) - len(self._delimiter))
                return None
        part = bytes(self._buffer[body:end])
        del self._buffer[:end]
        self._searched = 0
        return part if length is not None else part.removesuffix(b"\n").removesuffix(b"\r")


class MjpegSource:
    """An IP camera's MJPEG address; user and password may stand in the URL."""

    def __init__(self, url: str, settings: SourceSettings) -> None:
        self._url = url
        self.settings = settings
        self.traits = SourceTraits(public_url(url), live=True, camera=True, fps=settings.fps)
        if not urlsplit(url).hostname:
            raise UsageError(f"{self.traits.name!r} names no host", remedy="give http://HOST/PATH")

    def connect(self) -> "MjpegStream":
        """Ask for the stream.

        Raises:
            SourceError: there is no answer, or one that is no MJPEG stream.
        """
        parts = urlsplit(self._url)
        timeout = self.settings.read_timeout
        connection: http.client.HTTPConnection
        try:
            port = parts.port
            host = parts.hostname or ""
            if parts.scheme.lower() == "https":
                connection = http.client.HTTPSConnection(
                    host, port, timeout=timeout, context=ssl.create_default_context()
                )
            else:
                connection = http.client.HTTPConnection(host, port, timeout=timeout)
            headers = {"Accept": "multipart/x-mixed-replace, image/jpeg"}
            if parts.username is not None:
                user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
            response = connection.getresponse()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(
                f"{self.traits.name} does not answer ({without_secrets(str(error), [self._url])})",
                remedy="check address and camera",
            ) from error
        if response.status != http.client.OK:
            connection.close()
            raise SourceError(
                f"{self.traits.name} answers {response.status} {without_secrets(response.reason, [self._url])}",
                remedy="check path and password",
            )
        boundary = response.headers.get_param("boundary")
        if response.headers.get_content_type() != "multipart/x-mixed-replace" or not isinstance(boundary, str):
            connection.close()
            kind = response.headers.get_content_type()
            raise SourceError(f"{self.traits.name} sends {kind}, not an MJPEG stream (multipart/x-mixed-replace).")
        # Some cameras write the dashes of the delimiter into the header too.
        return MjpegStream(
            connection, response, Multipart(boundary.strip('"').removeprefix("--").encode()), self.settings.fps
        )


class MjpegStream:
    """An open MJPEG stream."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        multipart: Multipart,
        fps: float,
    ) -> None:
        self.fps = fps
        self._connection = connection
        self._response = response
        self._multipart = multipart
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
            self._waiting += self._multipart.feed(data)  # several at once: the mailbox drops, and counts
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
