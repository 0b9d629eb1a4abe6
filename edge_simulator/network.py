"""A simulated device's connection, read and written by the loop: paho's interface for loops of others."""

import contextlib
import selectors
import socket
from functools import partial
from typing import Final

import paho.mqtt.client as mqtt

from edge_simulator.loop import Loop

_KEEPALIVES: Final = 4  # looks at the keep-alive in one of its intervals
_LAST_READS: Final = 1000  # packets that may still stand in a connection that is ended


class LoopNetwork:
    """As `edge_agent.mqtt.network.Network`, for one client."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._client: mqtt.Client | None = None
        self._descriptor = -1
        self._held = False
        self._connections = 0  # so that what was asked for on one does nothing on the next

    def begin(self, client: mqtt.Client) -> None:
        """As `Network.begin`; on the loop's thread."""
        self._client, self._held = client, False
        self._connections += 1
        client.on_socket_close = lambda *_: self._closed()
        client.on_socket_register_write = lambda *_: self._loop.soon(self._write)
        if (connection := client.socket()) is not None:
            self._descriptor = connection.fileno()
            self._write()
            self._look_after(self._connections)

    def end(self, client: mqtt.Client) -> None:
        """As `Network.end`; on the loop's thread."""
        client.loop_write()  # closes the connection once its last packet is out
        if (connection := client.socket()) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a TCP or a TLS socket
        for _ in range(_LAST_READS):
            if client.socket() is None:
                break
            client.loop_read()
        self._client = None

    def hold(self, seconds: float) -> None:
        """Read nothing for so long: TCP holds the broker back."""
        self._held = True
        self._watch()
        self._loop.after(seconds, partial(self._let_go, self._connections))

    def _let_go(self, connection: int) -> None:
        if connection == self._connections:
            self._held = False
            self._watch()

    def _watch(self) -> None:
        if self._client is None or self._descriptor < 0:
            return
        events = 0 if self._held else selectors.EVENT_READ
        if self._client.want_write():
            events |= selectors.EVENT_WRITE
        self._loop.watch(self._descriptor, events, self._ready)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_READ and self._client is not None:
            self._client.loop_read()
            connection = self._client.socket()
            while (pending := getattr(connection, "pending", None)) is not None and pending():  # of TLS
                self._client.loop_read()
                connection = self._client.socket()
        if events & selectors.EVENT_WRITE:
            self._write()

    def _write(self) -> None:
        if self._client is not None and self._client.socket() is not None:
            self._client.loop_write()
            self._watch()

    def _look_after(self, connection: int) -> None:
        """Keep it alive, and find out when it is not."""
        client = self._client
        if client is not None and connection == self._connections and client.socket() is not None:
            client.loop_misc()
            self._loop.after(client.keepalive / _KEEPALIVES, partial(self._look_after, connection))

    def _closed(self) -> None:
        """The socket is about to be closed."""
        if self._descriptor >= 0:
            self._loop.watch(self._descriptor, 0, self._ready)
            self._descriptor = -1
