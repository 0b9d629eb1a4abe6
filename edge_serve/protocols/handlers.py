"""Each kind of request from its bytes to its answer's, on whichever thread: read, have it answered, write."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from edge_serve.http.message import JSON, RefusedError, Request, Response, answer, shown
from edge_serve.model.engine import Engine
from edge_serve.protocols import instances, npy, photograph, v2
from edge_serve.settings import LimitSettings

Handler = Callable[[Request, Engine], Response]

TRITON: Final = b"application/vnd.sagemaker-triton.binary+json"
"""How SageMaker's clients of Triton send the binary tensor extension: the JSON's length is a parameter of the type."""
_LENGTH: Final = "json-header-size="


class Handlers:
    """One method a kind of request.

    Each raises:
        RefusedError: the request is not what it takes.
        UsageError: a picture that is damaged.
        ModelFailedError: the model gave no answer.
        ElsewhereError: this engine does not look at photographs.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits

    def infer(self, request: Request, engine: Engine) -> Response:
        """Open Inference Protocol V2."""
        asked = v2.read(request, engine.manifest, self._limits.tensors)
        return v2.written(asked, engine.classify(asked.tensors), engine.manifest)

    def photograph(self, request: Request, engine: Engine) -> Response:
        """One JPEG, PNG or WebP as the body."""
        seen = engine.look(photograph.checked(request.body, self._limits))
        manifest = engine.manifest
        about = {"model_name": manifest.name, "model_version": str(manifest.release)}
        return answer(about | photograph.described(seen, manifest))

    def invoked(self, request: Request, engine: Engine) -> Response:
        """What a cloud passes on: `{"instances": …}`, a request of V2, an array of NumPy's, or a photograph."""
        kind = request.kind() or JSON
        if kind in photograph.KINDS:
            return self.photograph(request, engine)
        if kind == npy.KIND:
            tensors = npy.read(request.body, engine.manifest, self._limits.tensors)
            return answer({"predictions": engine.classify(tensors).tolist()})
        if kind == TRITON:
            length = request.header(b"content-type").partition(_LENGTH)[2]
            asked = v2.read(request, engine.manifest, self._limits.tensors, length.strip() or "missing")
            return v2.written(asked, engine.classify(asked.tensors), engine.manifest)
        if kind == JSON:
            return self._instances(request, engine)
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"a body of {shown(kind)} is not read",
            remedy=f"send application/json, {npy.KIND.decode()}, image/jpeg, image/png or image/webp",
        )

    def _instances(self, request: Request, engine: Engine) -> Response:
        if v2.HEADER_LENGTH in request.headers or v2.is_one(request.body):
            return self.infer(request, engine)
        asked = instances.read(request.body, engine.manifest, self._limits)
        manifest = engine.manifest
        seen = {place: photograph.described(engine.look(data), manifest) for place, data in asked.photographs.items()}
        answered = engine.classify(asked.tensors).tolist() if len(asked.tensors) else []
        return answer(instances.written(asked, answered, seen))
