"""Open Inference Protocol V2: tensors as JSON, or behind it as bytes (the binary tensor extension), both ways.

One input `image`, UINT8 [-1, height, width, channels]; one output `probabilities`, FP32 [-1, labels]. A client that
sends bytes says where the JSON ends (Inference-Header-Content-Length); it gets bytes where it asks for them.

Not here: which path is which (`edge_serve.app`).
"""

import math
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import Request, Response, bad, shown
from edge_serve.protocols import tensors
from edge_serve.protocols.tensors import INPUT, OUTPUT
from edge_vision.classifier import Probabilities
from edge_vision.picture import Pixels

HEADER_LENGTH_NAME: Final = b"Inference-Header-Content-Length"
HEADER_LENGTH: Final = HEADER_LENGTH_NAME.lower()
BINARY: Final = b"application/octet-stream"
EXTENSIONS: Final = ("binary_tensor_data",)
_REPEATED_BYTES: Final = 1024  # of a document that is kept with what it says
_LENGTH_DIGITS: Final = 20  # of more, Python would not make a number
_Side = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _InputParameters(msgspec.Struct):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Input(msgspec.Struct):
    name: str
    shape: Annotated[list[_Side], msgspec.Meta(max_length=16)]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: _InputParameters | None = None


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: int | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _Parameters(msgspec.Struct):
    binary_data_output: bool = False


class _Document(msgspec.Struct):
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1, max_length=16)]
    id: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    outputs: Annotated[list[_Output], msgspec.Meta(max_length=16)] | None = None
    parameters: _Parameters | None = None


class Inference(NamedTuple):
    """One request, checked."""

    id: str | None
    tensors: Pixels
    """uint8 [n, height, width, channels]"""
    binary: bool
    """The output is wanted as bytes."""


_decoder: Final = msgspec.json.Decoder(_Document)


class _Peek(msgspec.Struct):
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_peek: Final = msgspec.json.Decoder(_Peek)


def is_one(body: bytes) -> bool:
    """Whether a JSON document is a request of this protocol, rather than one of a cloud's own."""
    if b'"inputs"' not in body:
        return False
    try:
        return _peek.decode(body).inputs is not msgspec.UNSET
    except (msgspec.MsgspecError, RecursionError):
        return False


def read(request: Request, manifest: ModelManifest, limit: int, json_bytes: bytes | None = None) -> Inference:
    """What is asked; `limit` of tensors. `json_bytes`: where the JSON ends, if another header says it.

    Raises:
        RefusedError: 400 or 413, it is not what the protocol or the model takes.
    """
    body, tail = request.body, b""
    length = request.headers.get(HEADER_LENGTH, b"").strip() if json_bytes is None else json_bytes
    if length:
        end = int(length) if length.isdigit() and len(length) <= _LENGTH_DIGITS else -1
        if not 0 <= end <= len(body):
            raise bad(f"Inference-Header-Content-Length is {shown(length)}, the body has {len(body)} bytes.")
        body, tail = body[:end], body[end:]
    checked = (_checked_before if tail and len(body) <= _REPEATED_BYTES else _checked)(
        body, len(tail), manifest.input.shape, limit
    )
    if checked.data is None:
        return Inference(checked.id, tensors.from_bytes(tail, checked.shape), checked.binary)
    return Inference(checked.id, tensors.from_json(checked.data, checked.shape), checked.binary)


class _Checked(NamedTuple):
    """What a request's JSON says."""

    id: str | None
    shape: tuple[int, ...]
    """[n, height, width, channels]"""
    binary: bool
    """The output is wanted as bytes."""
    data: msgspec.Raw | None
    """The input's values; absent where they stand behind the JSON."""


def _checked(document: bytes, tail: int, model: tuple[int, ...], limit: int) -> _Checked:
    """`tail`: bytes behind the document; `model`: the shape of its input.

    Raises:
        RefusedError: as `read`.
    """
    try:
        asked = _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise bad(f"the body is no inference request of Open Inference Protocol V2 ({shown(error)}).") from error
    if len(asked.inputs) != 1 or asked.inputs[0].name != INPUT:
        names = ", ".join(shown(each.name) for each in asked.inputs)
        raise bad(f"the model takes one input, {INPUT}, not {names}.")
    binary = asked.parameters is not None and asked.parameters.binary_data_output
    if asked.outputs:
        binary = _wanted(asked.outputs, binary=binary)
    given = asked.inputs[0]
    if given.datatype != "UINT8":
        raise bad(f"{INPUT} is {shown(given.datatype)}, the model takes UINT8.")
    tensors.rows(given.shape, model, limit)
    return _Checked(asked.id, tuple(given.shape), binary, _data(given, tail))


_checked_before: Final = lru_cache(maxsize=64)(_checked)
"""A client that sends bytes sends the same few words before them each time. What is refused is not kept."""


def written(asked: Inference, answered: Probabilities, manifest: ModelManifest) -> Response:
    """The answer; `answered`: float32 [n, labels]."""
    if not asked.binary:
        document = _document(manifest.name, manifest.release, asked.id, answered.shape)
        document["outputs"][0]["data"] = answered.reshape(-1).tolist()
        return Response(200, msgspec.json.encode(document))
    head = _written_head(manifest.name, manifest.release, asked.id, answered.shape)
    data = answered.astype("<f4", copy=False).tobytes()
    return Response(200, head + data, BINARY, ((HEADER_LENGTH_NAME, b"%d" % len(head)),))


@lru_cache(maxsize=64)
def _written_head(name: str, release: int, id_: str | None, shape: tuple[int, ...]) -> bytes:
    document = _document(name, release, id_, shape)
    document["outputs"][0]["parameters"] = {"binary_data_size": math.prod(shape) * 4}
    return msgspec.json.encode(document)


def _document(name: str, release: int, id_: str | None, shape: tuple[int, ...]) -> dict[str, Any]:
    document: dict[str, Any] = {"model_name": name, "model_version": str(release)}
    if id_ is not None:
        document["id"] = id_
    document["outputs"] = [{"name": OUTPUT, "datatype": "FP32", "shape": shape}]
    return document


def metadata(manifest: ModelManifest) -> dict[str, Any]:
    """Of the model."""
    height, width, channels = manifest.input.shape[1:]
    return {
        "name": manifest.name,
        "versions": [str(manifest.release)],
        "platform": "edgewise_tflite",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, height, width, channels]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(manifest.labels)]}],
        "parameters": {"digest": manifest.digest, "labels": list(manifest.labels), "color": manifest.input.color},
    }


def _wanted(outputs: list[_Output], *, binary: bool) -> bool:
    """Whether the one output is wanted as bytes; `binary` where the request says it of all."""
    if len(outputs) != 1 or outputs[0].name != OUTPUT:
        names = ", ".join(shown(each.name) for each in outputs)
        raise bad(f"the model has one output, {OUTPUT}, not {names}.")
    parameters = outputs[0].parameters
    if parameters is None:
        return binary
    if parameters.classification:
        raise bad("the classification extension is not served", "ask for probabilities; the metadata has the labels")
    return binary if parameters.binary_data is None else parameters.binary_data


def _data(given: _Input, tail: int) -> msgspec.Raw | None:
    """The values in the JSON; none where it says that the bytes behind it are the input's."""
    size = given.parameters.binary_data_size if given.parameters is not None else None
    if size is None:
        if given.data is msgspec.UNSET:
            raise bad(f"{INPUT} has neither data nor binary_data_size.")
        if tail:
            raise bad(f"{tail} bytes stand behind the JSON, and {INPUT} does not say that they are its own.")
        return given.data
    if given.data is not msgspec.UNSET:
        raise bad(f"{INPUT} has both data and binary_data_size.")
    if size != tail:
        raise bad(f"{INPUT} says {size:,} bytes, {tail:,} stand behind the JSON.")
    return None
