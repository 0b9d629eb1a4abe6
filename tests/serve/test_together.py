"""Requests that come at once: each is answered as if it had come alone, to the bit."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_contract.manifest import ModelManifest
from edge_contract.package import ModelPackage, read_file
from edge_serve.answering import answered
from edge_serve.http.message import Request
from edge_serve.model.engine import Engine
from edge_serve.protocols.asked import Asked
from edge_serve.protocols.handlers import Handlers
from edge_serve.settings import LimitSettings
from edge_vision.classifier import Classifier
from tests.serve.process import REPOSITORY, ServeProcess

SHIPPED = REPOSITORY / "models" / "emotion-5.ewm"


@pytest.fixture(scope="module")
def emotion() -> ModelPackage:
    return read_file(SHIPPED)


def pictures(count: int, manifest: ModelManifest) -> np.ndarray:
    shape = (count, *manifest.input.shape[1:])
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def asked(tensor: np.ndarray, manifest: ModelManifest) -> Asked:
    given = {"name": "image", "shape": list(tensor.shape), "datatype": "UINT8", "data": tensor.reshape(-1).tolist()}
    body = json.dumps({"inputs": [given]}).encode()
    return Handlers(LimitSettings()).infer(Request(b"POST", b"/", {}, body), manifest)


def test_a_request_of_several_tensors_is_answered_as_each_alone(tiny: ModelPackage) -> None:
    engine = Engine(Classifier(tiny.model, tiny.manifest), None)
    given = pictures(6, tiny.manifest)
    for part in (given[:1], given[1:4], given[4:]):
        end = answered(asked(part, tiny.manifest), engine)
        (output,) = json.loads(end.response.body)["outputs"]
        assert output["shape"] == [len(part), len(tiny.manifest.labels)]
        alone = [engine.classify(part[at : at + 1])[0][0].tolist() for at in range(len(part))]
        assert np.float32(output["data"]).reshape(len(part), -1).tolist() == alone
        assert end.observed is not None
        assert (end.observed.frames, len(end.observed.answers)) == (len(part), len(part))


@pytest.fixture(
    scope="module", params=["[model]\nthreads = 1\n", "[model]\nthreads = 3\n[limits]\nqueue_bytes = 1024\n"]
)
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """With one thread; or with three, in whose queue there is room for less than a picture."""
    folder: Path = tmp_path_factory.mktemp("together")
    with ServeProcess(folder, ["run", "--package", str(SHIPPED)], config=request.param) as running:
        yield running.ready()


def test_clients_that_ask_at_once_each_get_the_answer_to_their_own_picture(
    serving: ServeProcess, emotion: ModelPackage
) -> None:
    given = pictures(48, emotion.manifest)
    alone = Classifier(emotion.model, emotion.manifest)

    def ask(row: np.ndarray) -> list[float]:
        body = json.dumps({"instances": [row.tolist()]}).encode()
        found = serving.ask("POST", "/invocations", body, content_type="application/json")
        assert found.status == 200
        return [float(np.float32(each)) for each in found.json()["predictions"][0]]

    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(ask, given))
    assert found == [alone.classify(row[None]).tolist() for row in given]
    counted = serving.ask("GET", "/metrics").body.decode().splitlines()
    assert [float(line.split()[-1]) for line in counted if line.startswith("edgewise_faces_total{")] == [48.0]
