"""One connection to a broker: a socket, what was read of it, and what waits to be written to it.

Rules:
- Never blocks but in `opened`. One read takes up to `READ_BYTES`; its messages are handed over and acknowledged
  together, so what comes in a burst costs little each.
- While more than `UNSENT_BYTES` wait to be written, nothing is read: a broker that does not read is not served.

Not here: what is said of an end (`edge_mqtt.reasons`), and when to connect again (`link`).
"""

import contextlib
import select
import socket
import ssl
from typing import Final

from edge_bridge.mqtt import written
from edge_bridge.mqtt.reader import Reader, Received

READ_BYTES: Final = 256 * 1024
UNSENT_BYTES: Final = 1024 * 1024


class EndedError(Exception):
    """The connection is gone, without a packet that says why."""


class Connection:
    """See the module; for one thread."""

    def __init__(self, sock: socket.socket, packet_bytes: int) -> None:
        """`sock`: connected, and not blocking."""
        self._sock = sock
        self._reader = Reader(packet_bytes)
        self._unsent = bytearray()

    @classmethod
    def opened(
        cls, host: str, port: int, tls: ssl.SSLContext | None, *, timeout_s: float, packet_bytes: int
    ) -> "Connection":
        """Connect, with TLS where a context is given; waits `timeout_s` for the network and for TLS each.

        Raises:
            OSError, ValueError: the host cannot be reached, or TLS is refused on either side.
        """
        sock = socket.create_connection((host, port), timeout=timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what goes out is gathered before
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname=host)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return cls(sock, packet_bytes)

    def fileno(self) -> int:
        """For `select.poll`."""
        return self._sock.fileno()

    @property
    def events(self) -> int:
        """What to wait for, as `select.poll` has it."""
        reading = 0 if len(self._unsent) > UNSENT_BYTES else select.POLLIN
        return reading | (select.POLLOUT if self._unsent else 0)

    @property
    def idle(self) -> bool:
        """Whether all that was to be sent is with the operating system."""
        return not self._unsent

    @property
    def pending(self) -> bool:
        """Whether TLS holds bytes that can be read and that the operating system no longer knows of."""
        held_back = len(self._unsent) > UNSENT_BYTES
        return isinstance(self._sock, ssl.SSLSocket) and not held_back and self._sock.pending() > 0

    def read(self) -> Received | None:
        """What has come; None where nothing has.

        Raises:
            EndedError: the other side closed the connection, or the network did.
        """
        if len(self._unsent) > UNSENT_BYTES:
            return None
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            raise EndedError(str(error)) from error
        if not data:
            raise EndedError("it was closed")
        return self._reader.feed(data)

    def send(self, data: bytes) -> None:
        """Write this behind what waits; what does not fit now is written by the next call of `flush`.

        Raises:
            EndedError: as in `read`.
        """
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it goes.

        Raises:
            EndedError: as in `read`.
        """
        while self._unsent:
            try:
                count = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                raise EndedError(str(error)) from error
            del self._unsent[:count]

    def close(self, code: int | None = None) -> None:
        """Close it, after DISCONNECT with this code where there is one."""
        if code is not None:
            with contextlib.suppress(EndedError):
                self.send(written.disconnect(code))
        self._sock.close()
