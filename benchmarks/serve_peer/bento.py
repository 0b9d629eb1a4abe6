"""BentoML: one service with one worker; JSON, and bytes as a file of its own content type."""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.serve_peer.tflite import Model, as_v2, of_bytes, of_v2


@bentoml.service(workers=1, traffic={"timeout": 60})
class Emotion:
    """The model."""

    def __init__(self) -> None:
        """Once in the worker."""
        self.model = Model()

    @bentoml.api(route="/json")
    def json(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """V2 in JSON."""
        return as_v2(self.model.answer(of_v2({"inputs": inputs})))

    @bentoml.api(route="/bytes")
    def bytes(self, picture: Annotated[Path, ContentType("application/octet-stream")], /) -> dict[str, Any]:
        """The picture's bytes."""
        return as_v2(self.model.answer(of_bytes(picture.read_bytes())))
