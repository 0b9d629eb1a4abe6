"""How long a half request may hold a connection: uvicorn waits for ever, and each takes a descriptor of the process.

A connection is half while it has not sent a whole request: none at all, a head without its end, or less of a body than
was announced. One that is being answered, or has become a WebSocket, may take as long as it likes.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HALF_S: Final = 20.0
"""Half for so long, a connection is closed; the slowest of networks sends a head within it."""
_Protocol: Any = AutoHTTPProtocol  # one of two classes, by what is installed


class PatientProtocol(_Protocol):  # type: ignore[misc]  # the class is found at run time
    """uvicorn's HTTP protocol, which gives up a half request."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._half = False
        self._look_again()

    def _look_again(self) -> None:
        self.loop.call_later(HALF_S / 2, self._look)

    def _look(self) -> None:
        """Close it when it is half now and was half the time before."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        cycle = self.cycle
        half = cycle is None or cycle.response_complete or cycle.more_body
        if half and self._half:
            self.transport.abort()
            return
        self._half = half
        self._look_again()
