"""All connections of the process: the socket they come in by, their number, their deadlines, and their end.

Once a second every connection is looked at, which is cheaper than a timer for each request.

Not here: one connection (`connection`).
"""

import asyncio
import email.utils
import socket
import time
from typing import Final

from edge_contract.errors import EdgewiseError
from edge_serve.http.connection import Answering, Connection, Waits

BACKLOG: Final = 1024
_LOOK_S: Final = 0.5
_DRAIN_LOOK_S: Final = 0.02


class Listening:
    """See the module; made and used on the event loop's thread."""

    def __init__(self, waits: Waits, most: int, answering: Answering) -> None:
        """`most`: connections at a time; a further one is answered 503."""
        self.waits, self._most, self._answering = waits, most, answering
        self.draining = False
        self.connections: set[Connection] = set()
        self.refusals: dict[int, int] = {}
        """What was refused before it was a whole request, by status."""
        self.date = b""
        self._server: asyncio.Server | None = None
        self._looking: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        return len(self.connections) >= self._most

    def refused(self, status: int) -> None:
        self.refusals[status] = self.refusals.get(status, 0) + 1

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Take connections from now on; where.

        Raises:
            EdgewiseError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._look()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, self._answering, loop), host, port, backlog=BACKLOG
            )
        except OSError as error:
            raise EdgewiseError(
                f"{host}:{port} cannot be listened on ({error.strerror or error})", remedy="give another address"
            ) from error
        bound: socket.socket = self._server.sockets[0]
        address = bound.getsockname()
        return str(address[0]), int(address[1])

    async def drain(self, at_most: float) -> int:
        """Take nothing more, let what is open be answered within `at_most` seconds; how many were not."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + at_most
        while self.connections and loop.time() < until:
            for each in list(self.connections):
                each.end()
            await asyncio.sleep(_DRAIN_LOOK_S)
        lost = sum(each.open for each in self.connections)
        for each in list(self.connections):
            each.abort()
        if self._looking is not None:
            self._looking.cancel()
        return lost

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self.date = f"Date: {email.utils.formatdate(time.time(), usegmt=True)}\r\n".encode()
        now = loop.time()
        for each in [each for each in self.connections if each.deadline < now]:
            each.overdue()
        self._looking = loop.call_later(_LOOK_S, self._look)
