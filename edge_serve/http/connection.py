"""One client's connection: bytes in, whole requests to the application, answers out in the order of the requests.

llhttp parses (`httptools`). Every size and wait has a limit, held as bytes come: a head or body that is too large, a
client that is too slow and what is no HTTP are each answered with their status, and the connection ends. What a client
sends while its request is worked on is read once, and nothing more until the answer is written.

Not here: what is answered (`edge_serve.app`), and how many connections there may be (`listener`).
"""

import asyncio
import collections
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol

import httptools

from edge_serve.http.message import RefusedError, Request, Response, busy, refusal

Answering = Callable[[Request, Callable[[Response], None]], Response | None]
"""The answer, or None where the function is called with it later."""

HEAD_BYTES: Final = 64 * 1024
_PIPELINED: Final = 64  # requests of one connection that wait for one before them; more than any client sends ahead
_LINGER_S: Final = 5.0
"""How long what a refused client still sends is thrown away: closed at once, its system would drop our answer."""
_WAITING_OUT: Final = 4 * 1024 * 1024  # bytes of answers not taken by the client before nothing more is read from it
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class Waits(NamedTuple):
    """Limits of one connection."""

    body_bytes: int
    request_s: float
    """From a request's first byte to its last, and for the client to take the answer."""
    idle_s: float
    """Between requests."""


class Listener(Protocol):
    """All connections together, as one of them sees it."""

    waits: Waits
    draining: bool
    """No further request is taken: the process ends."""
    connections: set["Connection"]
    date: bytes
    """The header line of now."""

    @property
    def full(self) -> bool:
        """There are as many connections as may be."""
        ...

    def refused(self, status: int) -> None:
        """Count what was refused before it was a whole request."""


class Connection(asyncio.Protocol):
    """See the module. All methods run on the event loop's thread."""

    __slots__ = (
        "_ahead", "_answering", "_body", "_body_bytes", "_eof", "_head_bytes", "_headers", "_heads_begun", "_ignoring",
        "_in_head", "_keep", "_listener", "_loop", "_method", "_parser", "_receiving", "_refusal", "_stalled",
        "_target", "_transport", "_waiting", "_working", "deadline",
    )  # fmt: skip

    def __init__(self, listener: Listener, answering: Answering, loop: asyncio.AbstractEventLoop) -> None:
        self._listener, self._answering, self._loop = listener, answering, loop
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._waiting: collections.deque[tuple[Request, bool]] = collections.deque()
        self._working = False
        self._ignoring = False  # what comes is thrown away
        self._refusal: RefusedError | None = None  # to be written behind what is worked on
        self._ahead = self._stalled = self._eof = False
        self._receiving = self._in_head = False
        self._head_bytes = self._heads_begun = 0
        self.deadline = loop.time() + listener.waits.idle_s
        """When `overdue` is to be called, by the loop's clock; infinite while the client waits for us."""
        self._begin()

    def _begin(self) -> None:
        self._target, self._headers = b"", dict[bytes, bytes]()
        self._body: list[bytes] = []
        self._body_bytes = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_WAITING_OUT)
        if self._listener.full:
            self._refuse(busy("this server has as many connections as it takes"))
            return
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's name
        self._listener.connections.discard(self)
        self._waiting.clear()
        self._ignoring = True
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._ignoring:
            return  # thrown away until the client has read why
        if self._working:  # nothing further until it is answered
            self._ahead = True
            self._transport.pause_reading()
        elif not self._receiving:
            self.deadline = self._loop.time() + self._listener.waits.request_s
        before, idle = self._head_bytes, not self._receiving
        self._heads_begun = 0
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self._ignoring:
                self._refuse(RefusedError(HTTPStatus.BAD_REQUEST, "what came is no HTTP request."))
        if self._in_head and self._heads_begun == 0:  # a line that is not whole yet is only in the parser
            self._head_bytes = max(self._head_bytes, before + len(data))
        elif self._in_head and self._heads_begun == 1 and idle:
            self._head_bytes = max(self._head_bytes, len(data))
        if self._head_bytes > HEAD_BYTES:
            self._refuse(
                RefusedError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the request's head is longer than {HEAD_BYTES:,} bytes",
                    remedy="send fewer or shorter headers",
                )
            )

    def _feed(self, data: bytes) -> None:
        """Parse; an offer to speak something else, as Java's client makes of HTTP/2, is passed over as HTTP allows.

        llhttp ends a request at such an offer, before its body: the request is read again without the offer.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offered:
                if self._ignoring or self._parser is None:
                    return
                if self._method == b"CONNECT":
                    self._refuse(RefusedError(HTTPStatus.NOT_IMPLEMENTED, "this server is no proxy."))
                    return
                data = self._without_offer() + data[offered.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            else:
                return

    def _without_offer(self) -> bytes:
        kept = [each for each in self._headers.items() if each[0] not in {b"connection", b"upgrade"}]
        closes = b"close" in self._headers.get(b"connection", b"").lower()
        kept.append((b"connection", b"close" if closes else b"keep-alive"))
        lines = b"".join(b"%b: %b\r\n" % each for each in kept)
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (self._method, self._target, lines)

    def eof_received(self) -> bool:
        self._eof = True
        return self._working or bool(self._waiting)  # a client may close its half and wait for the answer

    def pause_writing(self) -> None:
        self._stalled = True
        self._go_on()

    def resume_writing(self) -> None:
        self._stalled = False
        self._go_on()

    def _go_on(self) -> None:
        """Read or not, and wait for what comes next."""
        now, waits = self._loop.time(), self._listener.waits
        if self._ahead or self._stalled:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        if self._ignoring and not self._working:
            self.deadline = now + _LINGER_S
        elif self._stalled or (self._receiving and not self._working):
            self.deadline = now + waits.request_s
        else:
            self.deadline = float("inf") if self._working else now + waits.idle_s

    # What the parser calls. An exception would be the parser's: none is raised here.

    def on_message_begin(self) -> None:
        self._begin()
        self._receiving = self._in_head = True
        self._heads_begun += 1
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes <= HEAD_BYTES:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + len(b": \r\n")  # of trailers too, behind a body
        if self._head_bytes <= HEAD_BYTES:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._method: bytes = self._parser.get_method()
        self._keep: bool = self._parser.should_keep_alive()
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._listener.waits.body_bytes:
            self._refuse_body()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and not (self._ignoring or self._working):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._ignoring:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._listener.waits.body_bytes:
            self._body.clear()
            self._refuse_body()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # it is read again
        self._receiving = False
        if self._ignoring or self._head_bytes > HEAD_BYTES:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self._body_bytes = [], 0
        request = Request(self._method, self._target.partition(b"?")[0], self._headers, body)
        if self._working:
            self._waiting.append((request, self._keep))
            if len(self._waiting) > _PIPELINED:
                self._refuse(busy("this connection sends more requests ahead than are kept"))
            return
        self._answer(request, self._keep)

    # What happens then.

    def overdue(self) -> None:
        """The deadline passed: say so where a request is half received, and close."""
        if not self._ignoring and self._receiving:
            seconds = self._listener.waits.request_s
            self._refuse(
                RefusedError(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the request did not come whole within {seconds:g} s",
                    remedy="send it faster, or make it smaller",
                )
            )
        else:
            self._transport.abort()

    def end(self) -> None:
        """Close now where no request is open; after its answer otherwise."""
        if not self.open:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    @property
    def open(self) -> bool:
        """Whether a request of it is not answered yet."""
        return self._working or self._receiving

    def _answer(self, request: Request, keep: bool) -> None:
        made = self._answering(request, partial(self._worked, request.method, keep))
        if made is not None:
            self._write(made, request.method, keep=keep)
            return
        self._working, self.deadline = True, float("inf")

    def _worked(self, method: bytes, keep: bool, response: Response) -> None:
        self._working = False
        if self._transport.is_closing() or self._parser is None:
            return
        self._write(response, method, keep=keep)
        while self._waiting and not self._working and not self._transport.is_closing():
            self._answer(*self._waiting.popleft())
        if self._working or self._transport.is_closing():
            return
        if self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._eof:
            self._transport.close()
        elif self._ahead or self._receiving:
            self._ahead = False
            self._go_on()

    def _write(self, response: Response, method: bytes, *, keep: bool) -> None:
        keep = keep and not self._listener.draining
        lines = [_head(response.status, response.kind, len(response.body)), self._listener.date]
        lines += [b"%b: %b\r\n" % header for header in response.headers]
        lines.append(b"Connection: keep-alive\r\n\r\n" if keep else b"Connection: close\r\n\r\n")
        if method != b"HEAD":
            lines.append(response.body)
        self._transport.write(b"".join(lines))
        if keep:
            self.deadline = self._loop.time() + self._listener.waits.idle_s
        else:
            self._ignoring = True  # nothing that follows is answered
            self._transport.close()

    def _refuse_body(self) -> None:
        limit = self._listener.waits.body_bytes
        self._refuse(
            RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request's body is larger than {limit:,} bytes",
                remedy="send less at once",
            )
        )

    def _refuse(self, error: RefusedError) -> None:
        """Answer, behind what is worked on; what the client sends further is thrown away."""
        if self._ignoring or self._transport.is_closing():
            return
        self._ignoring = True
        self._listener.refused(error.status)
        if self._working:
            self._refusal = error
        else:
            self._write_refusal(error)

    def _write_refusal(self, error: RefusedError) -> None:
        """The last answer: the connection ends when the client has read it, or after a while."""
        response = refusal(error)
        lines = [_head(response.status, response.kind, len(response.body)), self._listener.date]
        lines += [b"%b: %b\r\n" % header for header in response.headers]
        self._transport.write(b"".join([*lines, b"Connection: close\r\n\r\n", response.body]))
        self._transport.write_eof()
        self._transport.resume_reading()  # what comes is thrown away: closed with it unread, the answer would be lost
        self.deadline = self._loop.time() + _LINGER_S
        self._listener.connections.add(self)


@lru_cache(maxsize=64)
def _head(status: int, kind: bytes, length: int) -> bytes:
    """An answer's first lines."""
    reason = _REASONS[status]
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status, reason, kind, length)
