"""What tests of cameras share: an HTTP server on loopback."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def http_camera() -> Iterator[Callable[[Answer], str]]:
    """A server on loopback whose one path is answered by the function given; its URL."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing in the test's output."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/video"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
