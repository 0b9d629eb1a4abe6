"""What SageMaker, Azure ML and Vertex AI ask of a container, on the process as each of them starts it."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_simulator.broker import free_port
from tests.serve.conftest import FIXTURES
from tests.serve.process import ServeProcess

TENSOR = np.zeros((48, 48, 1), np.uint8)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_instances_are_answered_in_every_form_a_client_sends(server: ServeProcess) -> None:
    forms = [TENSOR.tolist(), TENSOR[..., 0].tolist(), TENSOR.reshape(-1).tolist()]
    for key, route in (("instances", "/invocations"), ("input_data", "/score")):
        said = server.ask(
            "POST", route, json.dumps({key: forms}).encode(), content_type="application/json; charset=utf-8"
        )
        predictions = said.json()["predictions"]
        assert predictions[0] == predictions[1] == predictions[2]
        assert sum(predictions[0]) == pytest.approx(1, abs=0.05)
    array = server.ask("POST", "/invocations", npy(np.stack([TENSOR] * 2)), content_type="application/x-npy")
    assert array.json()["predictions"] == predictions[:2]
    given = {"name": "image", "shape": [1, 48, 48, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 2304}}
    head = json.dumps({"inputs": [given]}).encode()
    kind = f"application/vnd.sagemaker-triton.binary+json;json-header-size={len(head)}"
    triton = server.ask("POST", "/invocations", head + TENSOR.tobytes(), content_type=kind)
    assert triton.json()["outputs"][0]["data"] == predictions[0]


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b'{"instances": []}', "application/json", 400, "at least one"),
        (b'{"instances": 3}', "application/json", 400, "instances"),
        (b"null", "application/json", 400, "instances"),
        (b'{"instances": [[1, 2]]}', "application/json", 400, "2 came"),
        (b'{"instances": [{"b64": "?"}]}', "application/json", 400, "no base64"),
        (b'{"instances": [{"url": "file:///etc/passwd"}]}', "application/json", 400, "neither a tensor nor"),
        (b'{"instances": ["x"]}', "application/json", 400, "not uint8"),
        (json.dumps({"instances": [[0] * 2304] * 9}).encode(), "application/json", 413, "9 instances"),
        (b"a,b", "text/csv", 415, "a body of text/csv is not read"),
        (npy(TENSOR.astype(np.float32)), "application/x-npy", 400, "float32"),
        (npy(TENSOR)[:-1], "application/x-npy", 400, "2,303 came"),
        (npy(np.array([{}], object)), "application/x-npy", 400, "object"),
        (npy(TENSOR).replace(b"(48, 48, 1)", b"(99999999,)"), "application/x-npy", 400, "shape"),
        (b"\x93NUMPY", "application/x-npy", 400, "no array"),
    ],
)  # fmt: skip
def test_what_a_cloud_passes_on_wrongly_is_refused_by_name(
    server: ServeProcess, body: bytes, kind: str, status: int, says: str
) -> None:
    found = server.ask("POST", "/invocations", body, content_type=kind)
    assert (found.status, says in found.json()["error"]) == (status, True), found.body


def test_vertex_ai_names_its_port_and_routes_and_azure_the_folder_of_the_model(tmp_path: Path) -> None:
    model = tmp_path / "model" / "1"
    model.mkdir(parents=True)
    shutil.copy(FIXTURES / "tiny-1.ewm", model)
    port = free_port()
    environ = {
        "AZUREML_MODEL_DIR": str(tmp_path / "model"),
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/v1/endpoints/1/health",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployments/2:predict",
    }
    with ServeProcess(tmp_path, ["serve"], environ=environ) as running:
        running.port = port
        running.ready()
        assert running.ask("GET", environ["AIP_HEALTH_ROUTE"]).status == 200
        body = json.dumps({"instances": [TENSOR.tolist()]}).encode()
        said = running.ask("POST", environ["AIP_PREDICT_ROUTE"], body, content_type="application/json")
        assert len(said.json()["predictions"]) == 1
        assert running.stop() == 0
