"""The OpenAPI file is exact: whatever it allows or forbids, the server does as it says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

import edge_serve
from tests.serve.process import ServeProcess

FILE = Path(edge_serve.__file__).parent / "openapi.json"
schema = schemathesis.openapi.from_path(FILE)


@pytest.mark.slow  # drawing requests takes most of it, and on a busy machine longer than a server waits for one
@schema.parametrize()
@settings(
    max_examples=4,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_every_operation_answers_as_it_is_described(case: Any, server: ServeProcess) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{server.port}",
        headers={"Connection": "close"},  # one kept open may end, by the server's limit, as it is used again
        # What is right by the file's schemas may still not fit the model's shape: that is 400 by name.
        excluded_checks=[checks.positive_data_acceptance],
    )


def test_the_server_serves_this_very_file(server: ServeProcess) -> None:
    assert server.ask("GET", "/openapi.json").body == FILE.read_bytes()


@pytest.mark.parametrize("path", ["/v2/models/{model}/infer", "/invocations", "/v1/photographs"])
def test_answers_have_the_schema_of_the_file(server: ServeProcess, two_faces: np.ndarray, path: str) -> None:
    import cv2  # noqa: PLC0415

    document = json.loads(FILE.read_text())
    body: bytes
    if path == "/v1/photographs":
        body, kind = cv2.imencode(".png", two_faces)[1].tobytes(), "image/png"
    elif path == "/invocations":
        body, kind = json.dumps({"instances": [[0] * 2304]}).encode(), "application/json"
    else:
        given = {"name": "image", "shape": [1, 48, 48, 1], "datatype": "UINT8", "data": [0] * 2304}
        body, kind = json.dumps({"inputs": [given], "id": "1"}).encode(), "application/json"
    found = server.ask("POST", path.replace("{model}", "tiny"), body, content_type=kind)
    described = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(found.json(), {**described, "components": document["components"]})
