"""Pixels that a client sent, as a tensor of the model's shape, or their refusal by name. Used by every protocol.

Only uint8 is taken: the model's rescaling is in its graph, and real numbers would have to be rounded by a rule of ours.
"""

import math
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from edge_serve.http.message import RefusedError, bad, shown
from edge_vision.picture import Pixels

INPUT: Final = "image"
OUTPUT: Final = "probabilities"

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_MOST_AXES: Final = 4


def refuse_too_many(count: int, limit: int, what: str) -> None:
    """Hold the limit of what one request may carry.

    Raises:
        RefusedError: 413.
    """
    if count > limit:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{count:,} {what} in one request pass the limit of {limit:,}",
            remedy="send them in several requests",
        )


def rows(shape: Sequence[int], model: tuple[int, ...], limit: int) -> int:
    """How many pictures a tensor of this shape holds: [n, height, width, channels], all but n as in the model's input.

    Raises:
        RefusedError: 400 for another shape, 413 for too many.
    """
    wanted = model[1:]
    if len(shape) != 4 or tuple(shape[1:]) != wanted or shape[0] < 1:
        raise bad(f"{INPUT} has the shape {_shape(shape)}, the model takes {_shape((-1, *wanted))}.")
    refuse_too_many(shape[0], limit, "tensors")
    return shape[0]


def from_bytes(data: bytes, shape: Sequence[int]) -> Pixels:
    """Row-major bytes as uint8 of this shape.

    Raises:
        RefusedError: 400, there are not as many bytes as the shape says.
    """
    if len(data) != math.prod(shape):
        raise bad(f"{INPUT} of the shape {_shape(shape)} has {math.prod(shape):,} bytes, {len(data):,} came.")
    return np.frombuffer(data, np.uint8).reshape(tuple(shape))


def from_json(data: msgspec.Raw, shape: Sequence[int]) -> Pixels:
    """JSON numbers, flat or nested as the shape is, as uint8 of this shape.

    Raises:
        RefusedError: 400, they are no whole numbers from 0 to 255, or not nested or as many as the shape says.
    """
    try:
        values: list[Any] = _decoder(nesting(data)).decode(data)
    except msgspec.ValidationError as error:
        raise bad(f"data of {INPUT} is not uint8, flat or nested as its shape ({shown(error)}).") from error
    except RecursionError as error:
        raise bad(f"data of {INPUT} is nested more deeply than its shape.") from error
    flat, axes = values, 1
    while flat and isinstance(flat[0], list):
        expected = shape[axes] if axes < len(shape) else -1
        if any(len(part) != expected for part in flat):
            raise bad(f"data of {INPUT} is not nested as its shape {_shape(shape)} says.")
        flat, axes = [value for part in flat for value in part], axes + 1
    if axes not in {1, len(shape)} or (axes > 1 and len(values) != shape[0]):
        raise bad(f"data of {INPUT} is not nested as its shape {_shape(shape)} says.")
    if len(flat) != math.prod(shape):
        raise bad(f"{INPUT} of the shape {_shape(shape)} has {math.prod(shape):,} values, {len(flat):,} came.")
    return np.frombuffer(bytes(flat), np.uint8).reshape(tuple(shape))


def nesting(data: msgspec.Raw) -> int:
    """How many arrays a JSON value begins with, 1 at least and one more than a tensor has axes at most."""
    head = bytes(memoryview(data)[:256]).translate(None, b" \t\r\n")
    depth = len(head) - len(head.lstrip(b"["))
    return min(max(depth, 1), _MOST_AXES + 1)


@cache
def _decoder(axes: int) -> "msgspec.json.Decoder[Any]":
    """Of numbers in so many lists."""
    kind: Any = Byte
    for _ in range(axes):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _shape(shape: Sequence[int]) -> str:
    return "[" + ", ".join(str(side) for side in shape[:8]) + ("…]" if len(shape) > 8 else "]")
