"""The interpreter inside every peer: the model's own file in LiteRT with one thread, as their examples do it.

Imports nothing of Edgewise, so that the peers' environments can run it. `PEER_MODEL` in the environment names the file.
"""

import os
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

SHAPE = (1, 48, 48, 1)


class Model:
    """One interpreter."""

    def __init__(self) -> None:
        """Load the file."""
        self._interpreter = Interpreter(model_path=os.environ["PEER_MODEL"], num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def answer(self, picture: Any) -> Any:
        """uint8 [1, 48, 48, 1] to uint8 [1, 7]."""
        self._interpreter.set_tensor(self._input, picture)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def of_v2(document: Any) -> Any:
    """The picture of a V2 request in JSON."""
    given = document["inputs"][0]
    return np.asarray(given["data"], np.uint8).reshape(given["shape"])


def as_v2(answer: Any) -> dict[str, Any]:
    """A V2 answer in JSON."""
    output = {"name": "output", "datatype": "UINT8", "shape": list(answer.shape), "data": answer.ravel().tolist()}
    return {"model_name": "emotion", "outputs": [output]}


def of_bytes(body: bytes) -> Any:
    """The picture of a request that is its bytes and nothing else."""
    return np.frombuffer(body, np.uint8).reshape(SHAPE)
