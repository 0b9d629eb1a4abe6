"""MLServer: a runtime of its own class. V2 in JSON; binary tensors it does not take over HTTP."""

import mlserver
from mlserver.codecs import NumpyCodec

from benchmarks.serve_peer.tflite import Model


class Runtime(mlserver.MLModel):
    """The model."""

    async def load(self) -> bool:
        """Once in the worker."""
        self.model = Model()
        return True

    async def predict(self, payload: mlserver.types.InferenceRequest) -> mlserver.types.InferenceResponse:
        """One picture."""
        picture = NumpyCodec.decode_input(payload.inputs[0])
        answer = self.model.answer(picture)
        return mlserver.types.InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("output", answer)]
        )
