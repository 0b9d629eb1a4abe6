"""Width and height of an encoded picture, from its header: known before a decoder takes memory for its pixels.

A JPEG of 3 MB can hold 16,000 x 16,000 pixels, 768 MB as colours. Each format that OpenCV decodes is read here; what
is none of them is no picture. Only bytes are looked at: pure, and no input raises.
"""

import re
import struct
from collections.abc import Callable
from typing import Final, NamedTuple


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


_HEAD: Final = 1 << 16
"""Bytes in which the formats that name their size somewhere in boxes are searched."""


def size_of(data: bytes) -> Size | None:
    """Width and height that the header states; None where this is no picture of a known form, or its header is cut."""
    for begins, read in _FORMATS:
        if re.match(begins, data[:16], re.DOTALL):
            try:
                return read(data)
            except (struct.error, ValueError, IndexError):
                return None
    return None


def _jpeg(data: bytes) -> Size | None:
    """The first frame header; what stands between two segments is skipped, as libjpeg does."""
    at = 2
    while True:
        at = data.index(b"\xff", at)
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return Size(width, height)
        if marker in {0xD9, 0xDA}:
            return None  # the end, or pixels without a frame
        if marker not in {0x00, 0x01, *range(0xD0, 0xD9)}:
            at += max(2, struct.unpack_from(">H", data, at)[0])


def _png(data: bytes) -> Size:
    return Size(*struct.unpack_from(">II", data, 16))


def _gif(data: bytes) -> Size:
    return Size(*struct.unpack_from("<HH", data, 6))


def _bmp(data: bytes) -> Size:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return Size(*struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Size(abs(width), abs(height))  # a negative height counts from the top


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        return Size(int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1) if len(high) == 3 else None
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Size(width & 0x3FFF, height & 0x3FFF)
    return None


def _tiff(data: bytes) -> Size | None:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    at = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
    entries = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0]
    at += 8 if big else 2
    found = {}
    for _ in range(min(entries, 4096)):
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in {256, 257}:
            form = {3: "H", 4: "I", 16: "Q"}.get(kind)
            if form is None:
                return None
            found[tag] = struct.unpack_from(f"{order}{form}", data, at + (12 if big else 8))[0]
        at += 20 if big else 12
    return Size(found[256], found[257]) if len(found) == 2 else None


def _netpbm(data: bytes) -> Size | None:
    """PBM, PGM, PPM and PFM: two numbers after the magic, comments between them."""
    words = re.sub(rb"#[^\n]*", b" ", data[2:4096]).split(None, 2)
    return Size(int(words[0]), int(words[1]))


def _pam(data: bytes) -> Size | None:
    width, height = (re.search(rb"\b" + name + rb"\s+(\d{1,12})", data[:4096]) for name in (b"WIDTH", b"HEIGHT"))
    return Size(int(width[1]), int(height[1])) if width and height else None


def _radiance(data: bytes) -> Size | None:
    found = re.search(rb"\n-Y (\d{1,12}) \+X (\d{1,12})\s", data[:_HEAD])
    return Size(int(found[2]), int(found[1])) if found else None


def _sun_raster(data: bytes) -> Size:
    return Size(*struct.unpack_from(">II", data, 4))


def _avif(data: bytes) -> Size | None:
    """The largest of all images in the file: the picture, or a grid of tiles, and what belongs to it."""
    places = (found.end() + 4 for found in re.finditer(rb"ispe", data[:_HEAD]))
    return max((Size(*struct.unpack_from(">II", data, at)) for at in places), key=lambda size: size[0] * size[1])


def _jpeg_2000(data: bytes) -> Size | None:
    at = data.index(b"\xff\x4f\xff\x51", 0, _HEAD) + 8
    right, bottom, left, top = struct.unpack_from(">IIII", data, at)
    return Size(right - left, bottom - top)


_FORMATS: Final[tuple[tuple[bytes, Callable[[bytes], Size | None]], ...]] = (
    (rb"\xff\xd8\xff", _jpeg),
    (rb"\x89PNG\r\n\x1a\n.{4}IHDR", _png),
    (rb"GIF8[79]a", _gif),
    (rb"RIFF.{4}WEBP", _webp),
    (rb"BM", _bmp),
    (rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", _tiff),
    (rb"P[1-6]\s|P[Ff]\s", _netpbm),
    (rb"P7\s", _pam),
    (rb"#\?R(ADIANCE|GBE)", _radiance),
    (rb"\x59\xa6\x6a\x95", _sun_raster),
    (rb".{4}ftypavi[fs]|.{4}ftypmi", _avif),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", _jpeg_2000),
)
