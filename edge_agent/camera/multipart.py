"""Motion JPEG as browsers play it: JPEGs out of a byte stream, whatever framing the camera puts around them.

Cameras break the rules of `multipart/x-mixed-replace` in every way there is: no delimiter before the first picture, a
delimiter other than the header's or none in the header, a Content-Length that is wrong. What holds for all of them is
the picture itself, which begins and ends with markers of its own: segments with lengths up to the scan, and in the scan
FF is followed by 00 or a restart marker until the end. So the pictures are cut out by their own structure, which also
steps over a thumbnail inside one. Pure: bytes in, pictures out, however the network cuts them.
"""

import re
from typing import Final

from edge_agent.camera.source import SourceError

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one picture; an 8K JPEG has a few megabytes."""
_BETWEEN: Final = 16 * 1024
"""Bytes without a picture, after which this is no stream of pictures."""
_FRAMING: Final = re.compile(rb"content-(?:type|length)[ \t]*:", re.IGNORECASE)
"""What stands between two pictures and in none: a picture that was cut off in its header ends before it."""
_START: Final = b"\xff\xd8\xff"
_SCAN_END: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_END_OF_IMAGE, _START_OF_SCAN, _START_OF_IMAGE = 0xD9, 0xDA, 0xD8
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


class Pictures:
    """Cuts a stream into its JPEGs. Feed it bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # how far the picture at the beginning of the buffer was followed; 0: none has begun
        self._in_scan = False
        self._between = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that are complete now, in order. A damaged one comes as far as it can be told from the next.

        Raises:
            SourceError: a picture passes its limit, or none comes.
        """
        self._buffer += data
        pictures: list[bytes] = []
        while (picture := self._next()) is not None:
            if len(picture) > len(_START):
                pictures.append(picture)
                self._between = 0
            else:  # the next start followed at once
                self._pass_over(len(picture))
        if len(self._buffer) > LARGEST:
            raise SourceError(f"a picture in the stream passes the limit of {LARGEST} bytes.")
        return pictures

    def _next(self) -> bytes | None:
        if self._at == 0 and not self._begin():
            return None
        while (step := self._step()) == "on":
            pass
        if step == "more":
            return None
        picture = bytes(self._buffer[: self._at])
        del self._buffer[: self._at]
        self._at, self._in_scan = 0, False
        return picture

    def _begin(self) -> bool:
        """Drop what stands before the next picture; whether there is one."""
        start = self._buffer.find(_START)
        dropped = start if start >= 0 else max(0, len(self._buffer) - len(_START) + 1)
        del self._buffer[:dropped]
        self._pass_over(dropped)
        if start >= 0:
            self._at = 2
        return start >= 0

    def _pass_over(self, count: int) -> None:
        self._between += count
        if self._between > _BETWEEN:
            raise SourceError(f"the stream has no picture in {_BETWEEN} bytes: it is no MJPEG stream.")

    def _step(self) -> str:
        """Follow the picture by one segment: "on", "more" bytes are needed, or "end" of the picture at `_at`."""
        if self._in_scan:
            found = _SCAN_END.search(self._buffer, self._at)
            if found is None:
                self._at = max(self._at, len(self._buffer) - 1)  # its last byte may be the first of a marker
                return "more"
            self._at, self._in_scan = found.end() - 2, False
        return self._segment() if len(self._buffer) >= self._at + 2 else "more"

    def _segment(self) -> str:
        if self._buffer[self._at] != 0xFF:
            return self._broken()
        kind = self._buffer[self._at + 1]
        if kind == _END_OF_IMAGE:
            self._at += 2
            return "end"
        if kind == _START_OF_IMAGE:  # the next picture, and this one has no end
            return "end"
        if kind == 0xFF:  # a fill byte
            self._at += 1
            return "on"
        if kind in _ALONE:
            self._at += 2
            return "on"
        if len(self._buffer) < self._at + 4:
            return "more"
        length = int.from_bytes(self._buffer[self._at + 2 : self._at + 4], "big")
        if kind == 0 or length < 2:
            return self._broken()
        if cut := _FRAMING.search(self._buffer, self._at + 4, self._at + 2 + length):
            self._at = cut.start()
            return "end"
        if len(self._buffer) < self._at + 2 + length:
            return "more"
        self._at += 2 + length
        self._in_scan = kind == _START_OF_SCAN
        return "on"

    def _broken(self) -> str:
        """No marker where one belongs: the picture lasts to its end marker, or to the next picture."""
        ends = [
            at + skip
            for sign, skip in ((b"\xff\xd9", 2), (_START, 0))
            if (at := self._buffer.find(sign, self._at)) >= 0
        ]
        if not ends:
            return "more"
        self._at = min(ends)
        return "end"
