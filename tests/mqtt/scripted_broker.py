"""A broker that says what mosquitto never says: codes, limits and ends that others use. Bytes as MQTT 5 has them."""

import contextlib
import socket
import threading
from types import TracebackType


class ScriptedBroker:
    """One thread a connection; a message is acknowledged once nothing more comes, so that what is in flight is seen."""

    def __init__(
        self,
        *,
        connack: bytes = b"",
        suback: int = 1,
        puback: int = 0,
        end_on_publish: int = 0,
        after_suback: bytes = b"",
        instead_of_connack: bytes = b"",
    ) -> None:
        """`connack`: its properties. `suback`, `puback`: codes. `end_on_publish`: the code of a DISCONNECT instead.

        `after_suback`, `instead_of_connack`: any bytes; after the latter it closes the connection.
        """
        self._connack, self._suback, self._puback, self._end = connack, suback, puback, end_on_publish
        self._after, self._refusal = after_suback, instead_of_connack
        self.connections = self.most_in_flight = self.published = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> "ScriptedBroker":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        waiting: list[bytes] = []
        with connection, contextlib.suppress(OSError, IndexError):
            connection.settimeout(0.05)
            while True:
                try:
                    head = connection.recv(1)[0]
                except TimeoutError:
                    for number in waiting:
                        self._send(connection, 0x40, number + bytes([self._puback, 0]))
                    waiting = []
                    continue
                body = self._body(connection)
                match head >> 4:
                    case 1:
                        self.connections += 1
                        if self._refusal:
                            connection.sendall(self._refusal)
                            return
                        self._send(connection, 0x20, b"\0\0" + bytes([len(self._connack)]) + self._connack)
                    case 3 if head & 0x06:
                        self.published += 1
                        if self._end:
                            self._send(connection, 0xE0, bytes([self._end]))
                            return
                        at = 2 + int.from_bytes(body[:2])
                        waiting.append(body[at : at + 2])
                        self.most_in_flight = max(self.most_in_flight, len(waiting))
                    case 8:
                        self._send(connection, 0x90, body[:2] + bytes([0, self._suback]))
                        connection.sendall(self._after)
                    case 10:
                        self._send(connection, 0xB0, body[:2] + bytes([0, 0]))
                    case 14:
                        return

    @staticmethod
    def _body(connection: socket.socket) -> bytes:
        size, shift = 0, 0
        while True:
            (byte,) = connection.recv(1)
            size, shift = size | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        data = b""
        while len(data) < size:
            data += connection.recv(size - len(data))
        return data

    @staticmethod
    def _send(connection: socket.socket, head: int, body: bytes) -> None:
        connection.sendall(bytes([head, len(body)]) + body)
