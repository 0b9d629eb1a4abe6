"""The live picture with boxes, as an MJPEG page on 127.0.0.1. Off unless the settings ask for it.

Rules: it listens on the loopback address alone, and answers only to that name, so a web page elsewhere cannot have
the browser fetch it (DNS rebinding). A picture is copied only while there is a viewer, at most `fps` times a second,
and drawn and encoded on the viewer's own thread. Nothing here knows the broker.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import cv2
import numpy as np

from edge_agent.inference.events import ShownFace
from edge_agent.settings import PreviewSettings
from edge_contract.errors import EdgewiseError
from edge_vision.picture import Pixels

_HOST: Final = "127.0.0.1"
_NAMES: Final = frozenset({"127.0.0.1", "localhost"})
_VIEWERS: Final = 4
_SILENCE_S: Final = 10.0
"""Without a new picture for so long, a viewer is disconnected; the page asks again."""
_QUALITY: Final = 80  # of JPEG: text and boxes stay sharp
_PAGE: Final = b"""<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>Edgewise preview</title><style>html,body{margin:0;height:100%;background:#111}
img{width:100%;height:100%;object-fit:contain}</style><img src=/stream alt="live picture"
onerror="setTimeout(()=>{this.src='/stream?'+Date.now()},1000)">"""


class MjpegPreview:
    """A `Preview` and its little web server."""

    def __init__(self, settings: PreviewSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Listen; no request is served before `start`.

        Raises:
            EdgewiseError: the port is taken.
        """
        self._least = 1.0 / settings.fps
        self._clock = clock
        self._changed = threading.Condition()
        self._shown: tuple[Pixels, tuple[ShownFace, ...]] | None = None
        self._number = 0
        self._viewers = 0
        self._copied = -1e9
        preview = self

        class Handler(_Handler):
            owner = preview

        try:
            self._server = ThreadingHTTPServer((_HOST, settings.port), Handler)
        except OSError as error:
            raise EdgewiseError(
                f"the preview cannot listen on {_HOST}:{settings.port} ({error.strerror})",
                remedy="set another preview.port",
            ) from error
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, name="preview", daemon=True)

    @property
    def url(self) -> str:
        """The page's address on this machine."""
        return f"http://{_HOST}:{self._server.server_address[1]}/"

    @property
    def watched(self) -> bool:
        """There is a viewer, and the next picture is due."""
        return self._viewers > 0 and self._clock() - self._copied >= self._least

    @property
    def trouble(self) -> str:
        """Why no viewer is served any more; empty while they are."""
        ended = self._thread.ident is not None and not self._thread.is_alive()
        return "the thread of the preview ended: restart the agent." if ended else ""

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect the viewers and stop listening."""
        with self._changed:
            self._viewers = -_VIEWERS  # no viewer is served any more
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, picture: Pixels, faces: tuple[ShownFace, ...]) -> None:
        """Keep a copy of this frame for the viewers."""
        with self._changed:
            self._shown = (picture.copy(), faces)
            self._copied = self._clock()
            self._number += 1
            self._changed.notify_all()

    def enter(self) -> bool:
        """One more viewer, if there is room."""
        with self._changed:
            if not 0 <= self._viewers < _VIEWERS:
                return False
            self._viewers += 1
            return True

    def leave(self) -> None:
        """One viewer less."""
        with self._changed:
            self._viewers -= 1

    def wait(self, after: int) -> tuple[int, bytes] | None:
        """The next picture's number and JPEG; None when there is none for a while."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._number > after or self._viewers < 0, _SILENCE_S):
                return None
            if self._viewers < 0 or self._shown is None:
                return None
            number, (picture, faces) = self._number, self._shown
        return number, drawn(picture, faces)


def drawn(picture: Pixels, faces: tuple[ShownFace, ...]) -> bytes:
    """JPEG of a frame (grey or BGR) with a box and a label around each face."""
    canvas = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture.copy()
    for face in faces:
        left, top = round(face.box.left), round(face.box.top)
        corner = (round(face.box.left + face.box.width), round(face.box.top + face.box.height))
        cv2.rectangle(canvas, (left, top), corner, (80, 220, 80), 2)
        text = f"{face.label} {face.confidence:.0%}" if face.label else f"face {face.track}"
        for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):  # an outline, legible on any ground
            cv2.putText(
                canvas, text, (left, max(16, top - 6)), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, width, cv2.LINE_AA
            )
    _, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return np.asarray(encoded, np.uint8).tobytes()


class _Handler(BaseHTTPRequestHandler):
    owner: MjpegPreview
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name not in _NAMES:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == "/":
            self._answer(_PAGE)
        elif self.path.partition("?")[0] == "/stream":
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class names it so
        """Viewers are not logged."""

    def _answer(self, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        if not self.owner.enter():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers")
            return
        try:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            number = 0
            with suppress(OSError):  # the viewer went away
                while (next_picture := self.owner.wait(number)) is not None:
                    number, jpeg = next_picture
                    header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(header.encode() + jpeg + b"\r\n")
        finally:
            self.owner.leave()
