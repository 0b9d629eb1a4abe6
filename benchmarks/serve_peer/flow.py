"""`mlflow models serve`: the model as a pyfunc from code. `python -m benchmarks.serve_peer.flow FOLDER` saves it there.

It takes JSON of its own (`{"inputs": [[...]]}`) and no bytes.
"""

import sys
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature, set_model
from mlflow.types.schema import Schema, TensorSpec

from benchmarks.serve_peer.tflite import Model


class Emotion(mlflow.pyfunc.PythonModel):
    """The model."""

    def load_context(self, context: Any) -> None:  # noqa: ARG002  # mlflow's own name
        """Once in the worker."""
        self.model = Model()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  # the same
        """One picture."""
        return self.model.answer(np.asarray(model_input, np.uint8))


if __name__ == "__main__":
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("uint8"), (-1, 48, 48, 1))]), Schema([TensorSpec(np.dtype("uint8"), (-1, 7))])
    )
    mlflow.pyfunc.save_model(sys.argv[1], python_model=__file__, signature=signature, pip_requirements=[])
else:
    set_model(Emotion())
