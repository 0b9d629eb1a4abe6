"""Each kind of request, read: what it asks for, and how it is answered."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import JSON, RefusedError, Request, Response, answer, shown
from edge_serve.model.engine import Photograph
from edge_serve.protocols import instances, npy, photograph, v2
from edge_serve.protocols.asked import Asked, no_tensors
from edge_serve.settings import LimitSettings
from edge_vision.classifier import Probabilities

Handler = Callable[[Request, ModelManifest], Asked]

TRITON: Final = b"application/vnd.sagemaker-triton.binary+json"
"""How SageMaker's clients of Triton send the binary tensor extension: the JSON's length is a parameter of the type."""
_LENGTH: Final = b"json-header-size="


class Handlers:
    """One method a kind of request.

    Each raises:
        RefusedError: the request is not what it takes, or a photograph is damaged.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits

    def infer(self, request: Request, manifest: ModelManifest) -> Asked:
        """Open Inference Protocol V2."""
        return self._inference(v2.read(request, manifest, self._limits.tensors), manifest)

    def photograph(self, request: Request, manifest: ModelManifest) -> Asked:
        """One JPEG, PNG or WebP as the body."""

        def written(_: Probabilities, seen: dict[int, Photograph]) -> Response:
            about = {"model_name": manifest.name, "model_version": str(manifest.release)}
            return answer(about | photograph.described(seen[0], manifest))

        return Asked(no_tensors(manifest), {0: photograph.checked(request.body, self._limits)}, written)

    def invoked(self, request: Request, manifest: ModelManifest) -> Asked:
        """What a cloud passes on: `{"instances": …}`, a request of V2, an array of NumPy's, or a photograph."""
        kind = request.kind() or JSON
        if kind in photograph.KINDS:
            return self.photograph(request, manifest)
        if kind == npy.KIND:
            given = npy.read(request.body, manifest, self._limits.tensors)
            return Asked(given, {}, lambda answered, _: answer({"predictions": answered.tolist()}))
        if kind == TRITON:
            length = request.headers[b"content-type"].partition(_LENGTH)[2].strip()
            asked = v2.read(request, manifest, self._limits.tensors, length or b"missing")
            return self._inference(asked, manifest)
        if kind == JSON:
            return self._instances(request, manifest)
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"a body of {shown(kind)} is not read",
            remedy=f"send application/json, {npy.KIND.decode()}, image/jpeg, image/png or image/webp",
        )

    @staticmethod
    def _inference(asked: v2.Inference, manifest: ModelManifest) -> Asked:
        return Asked(asked.tensors, {}, lambda answered, _: v2.written(asked, answered, manifest))

    def _instances(self, request: Request, manifest: ModelManifest) -> Asked:
        if v2.HEADER_LENGTH in request.headers or v2.is_one(request.body):
            return self.infer(request, manifest)
        asked = instances.read(request.body, manifest, self._limits)

        def written(answered: Probabilities, seen: dict[int, Photograph]) -> Response:
            described: dict[int, Any] = {place: photograph.described(each, manifest) for place, each in seen.items()}
            return answer(instances.written(asked, answered.tolist(), described))

        return Asked(asked.tensors, asked.photographs, written)
