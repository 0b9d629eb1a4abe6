"""Open Inference Protocol V2, asked by its own client and by hand: what is taken, and what is refused by which name."""

import json
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from tests.serve.process import ServeProcess

INFER = "/v2/models/tiny/infer"


def noise(count: int, tiny: ModelPackage) -> np.ndarray:
    shape = (count, *tiny.manifest.input.shape[1:])
    return np.random.default_rng(7).integers(0, 255, shape, np.uint8, endpoint=True)


def expected(tensors: np.ndarray, tiny: ModelPackage) -> list[list[float]]:
    classifier = Classifier(tiny.model, tiny.manifest)
    return [classifier.classify(tensors[at : at + 1]).tolist() for at in range(len(tensors))]


def document(tensors: np.ndarray, **more: Any) -> dict[str, Any]:
    given = {"name": "image", "shape": list(tensors.shape), "datatype": "UINT8", "data": tensors.reshape(-1).tolist()}
    return {"inputs": [given | more]}


def test_tritons_client_is_answered_by_its_default_call_in_bytes(server: ServeProcess, tiny: ModelPackage) -> None:
    tensors = noise(3, tiny)
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("tiny", "1")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        about = client.get_model_metadata("tiny")
        assert about["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, *tensors.shape[1:]]}]
        assert about["parameters"]["labels"] == list(tiny.manifest.labels)
        image = triton.InferInput("image", list(tensors.shape), "UINT8")
        image.set_data_from_numpy(tensors)
        answered = client.infer("tiny", [image])
        assert answered.get_output("probabilities")["parameters"]["binary_data_size"] == 4 * 3 * 7
        assert answered.as_numpy("probabilities").tolist() == expected(tensors, tiny)
        in_json = triton.InferRequestedOutput("probabilities", binary_data=False)
        again = client.infer("tiny", [image], outputs=[in_json], request_id="a", model_version="1")
        assert again.get_response()["id"] == "a"
        assert again.as_numpy("probabilities").tolist() == expected(tensors, tiny)


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_json_data_may_be_flat_or_nested(server: ServeProcess, tiny: ModelPackage, nested: bool) -> None:
    tensors = noise(2, tiny)
    asked = document(tensors, **({"data": tensors.tolist()} if nested else {}))
    found = server.ask("POST", INFER, json.dumps({"id": "x", **asked}).encode())
    assert found.status == 200
    said = found.json()
    assert (said["model_name"], said["model_version"], said["id"]) == ("tiny", "1", "x")
    (output,) = said["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 7])
    assert output["data"] == [value for row in expected(tensors, tiny) for value in row]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"datatype": "FP32"}, 400, "image is FP32, the model takes UINT8"),
        ({"shape": [1, 20, 48, 1]}, 400, "image has the shape [1, 20, 48, 1], the model takes [-1, 48, 48, 1]"),
        ({"shape": [1, 48, 48]}, 400, "image has the shape [1, 48, 48]"),
        ({"shape": [0, 48, 48, 1], "data": []}, 400, "image has the shape [0, 48, 48, 1]"),
        ({"shape": [2, 48, 48, 1]}, 400, "has 4,608 values, 2,304 came"),
        ({"shape": [9, 48, 48, 1]}, 413, "9 tensors in one request pass the limit of 8"),
        ({"shape": [-1, 48, 48, 1]}, 400, "Expected `int` >= 0"),
        ({"shape": [2**70, 48, 48, 1]}, 400, "no inference request"),
        ({"name": "picture"}, 400, "takes one input, image, not picture"),
        ({"data": [256] * 2304}, 400, "not uint8"),
        ({"data": [-1] * 2304}, 400, "not uint8"),
        ({"data": [0.5] * 2304}, 400, "not uint8"),
        ({"data": [True] * 2304}, 400, "not uint8"),
        ({"data": ["1"] * 2304}, 400, "not uint8"),
        ({"data": None}, 400, "not uint8"),
        ({"data": [[1] * 48] * 48}, 400, "not nested as its shape"),
        ({"data": [[[[1]] * 48] * 47 + [[[1]] * 47]]}, 400, "not nested as its shape"),
        ({"data": [[[[[1]]]]]}, 400, "not nested as its shape"),
        ({"parameters": {"binary_data_size": 2304}}, 400, "both data and binary_data_size"),
        ({"parameters": {"binary_data_size": -1}}, 400, "no inference request"),
    ],
)  # fmt: skip
def test_a_wrong_tensor_is_refused_by_name_and_the_next_request_is_answered(
    server: ServeProcess, tiny: ModelPackage, change: dict[str, Any], status: int, says: str
) -> None:
    found = server.ask("POST", INFER, json.dumps(document(noise(1, tiny), **change)).encode())
    assert (found.status, list(found.json())) == (status, ["error"])
    assert says in found.json()["error"]
    assert server.ask("POST", INFER, json.dumps(document(noise(1, tiny))).encode()).status == 200


@pytest.mark.parametrize(
    ("body", "length", "says"),
    [
        (b"", "", "no inference request"),
        (b"{", "", "no inference request"),
        (b"[" * 100_000, "", "no inference request"),
        (b'{"inputs": []}', "", "no inference request"),
        (b'{"inputs": [], "inputs": 3}', "", "no inference request"),
        (b"{}", "7", "the body has 2 bytes"),
        (b"{}", "-1", "Inference-Header-Content-Length is -1"),
        (b"{}", "9" * 30, "the body has 2 bytes"),
        (b"{}", "0" * 5000, "the body has 2 bytes"),
        ('{"inputs": "\ud800"}'.encode("utf-8", "surrogatepass"), "", "no inference request"),
    ],
)
def test_what_is_no_request_is_refused_by_name(server: ServeProcess, body: bytes, length: str, says: str) -> None:
    headers = {"Inference-Header-Content-Length": length} if length else {}
    found = server.ask("POST", INFER, body, **headers)
    assert found.status == 400
    assert says in found.json()["error"]


@pytest.mark.parametrize("sent", [0, 2303, 2305])
def test_bytes_behind_the_json_are_as_many_as_are_said(server: ServeProcess, sent: int) -> None:
    given = {"name": "image", "shape": [1, 48, 48, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 2304}}
    head = json.dumps({"inputs": [given]}).encode()
    found = server.ask("POST", INFER, head + bytes(sent), **{"Inference-Header-Content-Length": str(len(head))})
    assert (found.status, f"2,304 bytes, {sent:,} stand" in found.json()["error"]) == (400, True)


def test_another_model_version_output_path_or_method_is_refused_by_name(server: ServeProcess) -> None:
    assert server.ask("POST", "/v2/models/other/infer", b"{}").status == 404
    assert server.ask("POST", "/v2/models/tiny/versions/2/infer", b"{}").status == 404
    assert server.ask("GET", "/v2/models/tiny/versions/1/ready").status == 200
    assert server.ask("GET", "/v2/nothing").status == 404
    wrong = server.ask("GET", INFER)
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
    packed = server.ask("POST", INFER, b"{}", content_encoding="gzip")
    assert (packed.status, "compressed" in packed.json()["error"]) == (415, True)


def test_an_unknown_output_is_refused_by_name(server: ServeProcess, tiny: ModelPackage) -> None:
    asked = {**document(noise(1, tiny)), "outputs": [{"name": "logits"}]}
    found = server.ask("POST", INFER, json.dumps(asked).encode())
    assert (found.status, "one output, probabilities, not logits" in found.json()["error"]) == (400, True)
