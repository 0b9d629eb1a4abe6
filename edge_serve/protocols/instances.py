"""What SageMaker, Azure ML and Vertex AI carry: `{"instances": [...]}`, answered by `{"predictions": [...]}`.

An instance is a tensor, nested as [height, width, channels] or, of a grey model, [height, width]; or a photograph as
`{"b64": "..."}`. A tensor is answered by the probabilities in the order of the labels, as TensorFlow Serving does, a
photograph by its faces. `input_data`, as Azure ML's clients say, means the same as `instances`.
"""

import base64
import binascii
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import bad, shown
from edge_serve.protocols import photograph, tensors
from edge_serve.settings import LimitSettings
from edge_vision.picture import Pixels


class _Document(msgspec.Struct):
    instances: list[msgspec.Raw] | None = None
    input_data: list[msgspec.Raw] | None = None


class _Encoded(msgspec.Struct, forbid_unknown_fields=True):
    b64: Annotated[str, msgspec.Meta(min_length=1)]


class Instances(NamedTuple):
    """One request, checked."""

    tensors: Pixels
    """uint8 [n, height, width, channels], n may be 0"""
    photographs: dict[int, bytes]
    """By the place of the instance; all others are tensors."""

    @property
    def number(self) -> int:
        """Of both."""
        return len(self.tensors) + len(self.photographs)


_document: Final = msgspec.json.Decoder(_Document)
_encoded: Final = msgspec.json.Decoder(_Encoded)


def read(body: bytes, manifest: ModelManifest, limits: LimitSettings) -> Instances:
    """What is asked.

    Raises:
        RefusedError: 400, 413, 415 or 422: it is not what the model takes, too much, or a damaged photograph.
    """
    try:
        document = _document.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise bad(f'the body is not {{"instances": [...]}} ({shown(error)}).') from error
    given = document.instances if document.instances is not None else document.input_data
    if not given:
        raise bad('the body is not {"instances": [...]} with at least one.')
    tensors.refuse_too_many(len(given), limits.tensors, "instances")
    found: list[Pixels] = []
    photographs: dict[int, bytes] = {}
    for place, raw in enumerate(given):
        if bytes(memoryview(raw)[:1]) == b"{":
            tensors.refuse_too_many(len(photographs) + 1, limits.pictures, "photographs")
            photographs[place] = photograph.checked(_decoded(raw), limits)
        else:
            found.append(tensors.from_json(raw, _shape(raw, manifest)).reshape(manifest.input.shape))
    stacked = np.concatenate(found) if found else np.zeros((0, *manifest.input.shape[1:]), np.uint8)
    return Instances(stacked, photographs)


def written(asked: Instances, answered: list[list[float]], seen: dict[int, Any]) -> dict[str, Any]:
    """The answer; `answered`: probabilities of each tensor; `seen`: of each photograph, by its place."""
    rest = iter(answered)
    predictions = [seen[place] if place in seen else next(rest) for place in range(asked.number)]
    return {"predictions": predictions}


def _decoded(raw: msgspec.Raw) -> bytes:
    try:
        return base64.b64decode(_encoded.decode(raw).b64, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise bad(f'an instance is neither a tensor nor {{"b64": "..."}} ({shown(error)}).') from error
    except (binascii.Error, ValueError) as error:
        raise bad(f"b64 of an instance is no base64 ({shown(error)}).") from error


def _shape(raw: msgspec.Raw, manifest: ModelManifest) -> tuple[int, ...]:
    shape = manifest.input.shape[1:]
    grey = shape[2] == 1 and tensors.nesting(raw) == 2
    return shape[:2] if grey else shape
