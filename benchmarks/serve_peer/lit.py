"""LitServe: one API, one worker. It takes JSON, and files as parts of a form; a body of mere bytes it does not."""

import sys
from typing import Any

import litserve
from fastapi import Request

from benchmarks.serve_peer.tflite import Model, as_v2, of_bytes, of_v2


class Api(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's own name
        """Once in the worker."""
        self.model = Model()

    def decode_request(self, request: Request) -> Any:
        """V2 in JSON, or a file of a form."""
        given: Any = request  # by its annotation LitServe knows what to parse; this is the result
        return of_bytes(given["picture"].file.read()) if "picture" in given else of_v2(given)

    def predict(self, picture: Any) -> Any:
        """One picture."""
        return self.model.answer(picture)

    def encode_response(self, answer: Any) -> Any:
        """V2 in JSON."""
        return as_v2(answer)


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/predict"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning", num_api_servers=1
    )
