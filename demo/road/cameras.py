"""Cameras on 127.0.0.1 that show drawn people, as IP cameras do (Motion JPEG), and a record of who stood where when."""

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import cv2
import numpy as np

from demo.road.people import Noise, Person, Scene, picture

FPS: Final = 25
SLOW_FPS: Final = 10
"""While the machine trains, which in a fleet is another one than the devices'."""
_STAYS: Final = 5
"""Frames that one person stays."""
_AWAY: Final = 3
"""Empty frames in between, so many that the track before is over."""
_BOUNDARY: Final = b"frame"


class Cameras:
    """Some cameras in one room; a context manager."""

    def __init__(self, persons: dict[str, list[Person]]) -> None:
        """`persons`: by camera, those who pass before it, in a random order."""
        self.scene: dict[str, Scene] = dict.fromkeys(persons, "as it was")
        """How each camera sees; may be changed while it runs."""
        self.fps = FPS
        """Frames that each shows in a second; may be changed too."""
        self._shown: dict[str, list[tuple[float, str]]] = {name: [] for name in persons}
        self._frames: dict[str, bytes] = {}
        self._new = threading.Condition()
        self._persons, self._stopping = persons, threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True),
            threading.Thread(target=self._show, daemon=True),
        ]

    def url(self, name: str) -> str:
        """Where this camera's stream is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def truth(self, name: str, moment: float) -> str | None:
        """The emotion shown to this camera at that time (seconds since 1970); None while no face was."""
        shown = self._shown[name]
        place = bisect_right(shown, (moment, "\uffff")) - 1
        return shown[place][1] or None if place >= 0 else None

    def __enter__(self) -> "Cameras":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def frames(self, name: str) -> Iterator[bytes]:
        """The JPEG of each new frame, until the end."""
        last = b""
        while not self._stopping.is_set():
            with self._new:
                self._new.wait(1.0)
                frame = self._frames.get(name, b"")
            if frame and frame is not last:
                last = frame
                yield frame

    def _show(self) -> None:
        chance, noise = np.random.default_rng(7), Noise(7)
        names = list(self.scene)
        order = {name: chance.permutation(len(self._persons[name])) for name in names}
        number, due = 0, time.monotonic()
        while not self._stopping.is_set():
            for index, name in enumerate(names):
                # Not all at one time: the cameras' persons come and go one after the other.
                turn, frame = divmod(number + index * 4, _STAYS + _AWAY)
                passing, place = self._persons[name], order[name][turn % len(order[name])]
                person = passing[place] if frame < _STAYS else None
                if frame in {0, _STAYS}:
                    self._shown[name].append((time.time(), person.emotion if person else ""))
                seen = picture(person, frame / _STAYS, self.scene[name], noise)
                self._frames[name] = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            with self._new:
                self._new.notify_all()
            number += 1
            due += 1 / self.fps
            self._stopping.wait(max(0.0, due - time.monotonic()))


def _handler(cameras: Cameras) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            if name not in cameras.scene:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
            self.end_headers()
            try:
                for frame in cameras.frames(name):
                    head = b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_BOUNDARY, len(frame))
                    self.wfile.write(head + frame + b"\r\n")
            except OSError:
                pass  # who looked has gone

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            pass

    return Handler
