"""A photograph that a client sent: a whole JPEG, PNG or WebP within the limits, or its refusal by name; and the answer.

Its size is read from the header before anything is decoded. What ends too early is refused: decoders fill up the rest
with grey and answer nonsense.
"""

import struct
from http import HTTPStatus
from typing import Any, Final

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import RefusedError
from edge_serve.model.engine import Photograph
from edge_serve.settings import LimitSettings
from edge_vision.picture_size import size_of

JPEG: Final = b"\xff\xd8\xff"
PNG: Final = b"\x89PNG\r\n\x1a\n"
KINDS: Final = frozenset({b"image/jpeg", b"image/jpg", b"image/png", b"image/webp", b"application/x-image"})
_MOST_PARTS: Final = 100_000  # segments or chunks of a file; one of 64 MB in small pieces has more, and is no picture


def checked(data: bytes, limits: LimitSettings) -> bytes:
    """The same bytes.

    Raises:
        RefusedError: 415 for another format, 422 for a damaged file, 413 for more pixels than are decoded.
    """
    if not data:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "there is no photograph in the request.")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not webp and not data.startswith((JPEG, PNG)):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{len(data)} bytes are no JPEG, PNG or WebP", remedy="send one of these"
        )
    size = size_of(data)
    if size is None or min(size) < 1:
        raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the photograph's header is damaged.")
    if size.width * size.height > limits.pixels or max(size) > limits.side:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a photograph of {size.width}x{size.height} pixels passes the limit of {limits.pixels:,}, "
            f"or of {limits.side:,} to a side",
            remedy="make it smaller",
        )
    whole = _whole_webp(data) if webp else _whole_jpeg(data) if data.startswith(JPEG) else _whole_png(data)
    if not whole:
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "the photograph is not whole: its end is missing", remedy="send all of it"
        )
    return data


def described(seen: Photograph, manifest: ModelManifest) -> dict[str, Any]:
    """What was seen in one photograph, boxes in its pixels."""
    faces = []
    for box, answered in seen.found:
        best = int(answered.argmax())
        probabilities = dict(zip(manifest.labels, answered.tolist(), strict=True))
        faces.append(
            {
                "box": {"left": box.left, "top": box.top, "width": box.width, "height": box.height},
                "label": manifest.labels[best],
                "confidence": float(answered[best]),
                "probabilities": probabilities,
            }
        )
    return {"width": seen.width, "height": seen.height, "faces": faces}


def _whole_jpeg(data: bytes) -> bool:
    """Whether the end marker comes behind the picture itself: those of thumbnails stand before it."""
    at = 2
    for _ in range(_MOST_PARTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at + 4) >= 0  # within the picture's data, FF is followed by 00
        if marker == 0xFF or marker in {0x01, *range(0xD0, 0xD8)}:
            at += 1 if marker == 0xFF else 2
            continue
        length: int = struct.unpack_from(">H", data, at + 2)[0]
        at += 2 + max(length, 2)
    return False


def _whole_png(data: bytes) -> bool:
    at = len(PNG)
    for _ in range(_MOST_PARTS):
        if at + 12 > len(data):
            return False
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return True
        at += 12 + int(length)
    return False


def _whole_webp(data: bytes) -> bool:
    return len(data) >= 12 and int(struct.unpack_from("<I", data, 4)[0]) + 8 <= len(data)
