"""A model file changed in one place, as a converter, a disk or an attacker might."""

from collections.abc import Callable
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def edited(model: bytes, change: Callable[[Any], None]) -> bytes:
    """The model file with its tree changed."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    change(tree)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def flip_weight(model: bytes) -> bytes:
    """One bit of one weight in the largest constant, in place."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    largest = max((bytes(buffer.data) for buffer in tree.buffers if buffer.data is not None), key=len)
    place = model.index(largest) + len(largest) // 2
    return model[:place] + bytes([model[place] ^ 0x10]) + model[place + 1 :]
