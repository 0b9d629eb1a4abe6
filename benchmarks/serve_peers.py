"""The servers that are compared: how each is started, and how each takes the same picture.

Every peer but Keras has the same TFLite file in the same version of LiteRT. All have one worker and log no requests;
each takes the same bytes as far as it can:

| | JSON | binary |
|---|---|---|
| Edgewise | Open Inference Protocol V2 | its binary tensor extension, as tritonclient's default call has it |
| MLServer | the same | none over HTTP (1.7) |
| Keras behind Flask | V2's document | the picture's bytes as the body |
| BentoML | V2's inputs | the picture's bytes as the body, by its file type |
| LitServe | V2's document | the picture's bytes as a file of a form, which is how it takes files |
| `mlflow models serve` | its own document | none |
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.serve_load import Request

ROOT: Final = Path(__file__).resolve().parents[1]
SERVE: Final = ROOT / ".venv-serve" / "bin"
MLSERVER: Final = ROOT / ".venv-mlserver" / "bin"
_JSON: Final = {"Content-Type": "application/json"}
_BYTES: Final = {"Content-Type": "application/octet-stream"}
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Server:
    """One server."""

    name: str
    command: list[str]
    requests: dict[str, Request]
    """By kind: json, binary, photograph."""
    environment: dict[str, str] = field(default_factory=dict)
    before: list[str] | None = None
    """A command that has to have run first."""

    def missing(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        return "" if Path(self.command[0]).is_file() else f"{self.command[0]} is not installed"

    def surroundings(self) -> dict[str, str]:
        """Its environment; none of them reports to its makers."""
        quiet = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
        return {**os.environ, "PYTHONPATH": str(ROOT), **quiet, **self.environment}


def servers(
    folder: Path, picture: NDArray[np.uint8], photograph: bytes, ports: Callable[[], int]
) -> dict[str, tuple[int, Server]]:
    """Port and server by name. `folder` holds model.ewm, model.tflite and model.keras."""
    found = {}
    for make in (edgewise, keras, litserve, mlserver, bentoml, mlflow):
        port = ports()
        made = make(folder, port, picture, photograph, ports)
        found[made.name] = port, made
    return found


def edgewise(folder: Path, port: int, picture: NDArray[np.uint8], photograph: bytes, _: Callable[[], int]) -> Server:
    """Ours."""
    path = "/v2/models/emotion/infer"
    return Server(
        "edgewise",
        [
            sys.executable,
            "-m",
            "edge_serve",
            "run",
            "--package",
            str(folder / "model.ewm"),
            "--listen",
            f"127.0.0.1:{port}",
        ],
        {
            "binary": _binary(path, "image", picture),
            "json": Request(path, _JSON, _v2("image", picture), _of_v2),
            "photograph": Request("/v1/photographs", {"Content-Type": "image/jpeg"}, photograph, _of_photograph),
        },
    )


def keras(folder: Path, port: int, picture: NDArray[np.uint8], _: bytes, __: Callable[[], int]) -> Server:
    """Keras `predict` behind Flask, under gunicorn with threads."""
    return Server(
        "keras_flask",
        [sys.executable, "-m", "gunicorn", "--no-control-socket", "--workers", "1", "--threads", "8",
         "--keep-alive", "60", "--bind", f"127.0.0.1:{port}", "benchmarks.serve_peer.keras_flask:app"],
        {
            "json": Request("/predict", _JSON, _v2("image", picture), _of_v2),
            "binary": Request("/predict", _BYTES, picture.tobytes(), _of_floats),
        },
        {"PEER_MODEL": str(folder / "model.keras"), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip


def litserve(folder: Path, port: int, picture: NDArray[np.uint8], _: bytes, __: Callable[[], int]) -> Server:
    """LitServe."""
    border = "edgewise-bench"
    form = (
        (
            f'--{border}\r\nContent-Disposition: form-data; name="picture"; filename="picture"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + picture.tobytes()
        + f"\r\n--{border}--\r\n".encode()
    )
    return Server(
        "litserve",
        [str(SERVE / "python"), "-m", "benchmarks.serve_peer.lit", str(port)],
        {
            "json": Request("/predict", _JSON, _v2("image", picture), _of_v2),
            "binary": Request("/predict", {"Content-Type": f"multipart/form-data; boundary={border}"}, form, _of_v2),
        },
        {"PEER_MODEL": str(folder / "model.tflite")},
    )


def mlserver(folder: Path, port: int, picture: NDArray[np.uint8], _: bytes, ports: Callable[[], int]) -> Server:
    """MLServer, the model in its own process: without the queue to a worker, which only costs here."""
    home = folder / "mlserver"
    home.mkdir()
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": ports(), "metrics_port": ports(), "parallel_workers": 0,
        "debug": False, "logging_settings": None, "metrics_endpoint": None,
    }  # fmt: skip
    (home / "settings.json").write_text(json.dumps(settings))
    model = {"name": "emotion", "implementation": "benchmarks.serve_peer.mls.Runtime"}
    (home / "model-settings.json").write_text(json.dumps(model))
    return Server(
        "mlserver",
        [str(MLSERVER / "mlserver"), "start", str(home)],
        {"json": Request("/v2/models/emotion/infer", _JSON, _v2("image", picture), _of_v2)},
        {"PEER_MODEL": str(folder / "model.tflite")},
    )


def bentoml(folder: Path, port: int, picture: NDArray[np.uint8], _: bytes, __: Callable[[], int]) -> Server:
    """BentoML."""
    return Server(
        "bentoml",
        [str(SERVE / "bentoml"), "serve", "benchmarks.serve_peer.bento:Emotion", "--host", "127.0.0.1",
         "--port", str(port), "--working-dir", str(ROOT)],
        {
            "json": Request("/json", _JSON, _v2("image", picture), _of_v2),
            "binary": Request("/bytes", _BYTES, picture.tobytes(), _of_v2),
        },
        {
            "PEER_MODEL": str(folder / "model.tflite"), "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false",
        },
    )  # fmt: skip


def mlflow(folder: Path, port: int, picture: NDArray[np.uint8], _: bytes, __: Callable[[], int]) -> Server:
    """`mlflow models serve`."""
    home = str(folder / "mlflow")
    return Server(
        "mlflow",
        [str(SERVE / "mlflow"), "models", "serve", "--model-uri", home, "--env-manager", "local", "--host", "127.0.0.1",
         "--port", str(port), "--workers", "1"],
        {
            "json": Request("/invocations", _JSON, json.dumps({"inputs": picture.tolist()}).encode(), _of_mlflow),
        },
        {
            "PEER_MODEL": str(folder / "model.tflite"), "PATH": f"{SERVE}:{os.environ['PATH']}",
            "UVICORN_ACCESS_LOG": "false",
        },
        [str(SERVE / "python"), "-m", "benchmarks.serve_peer.flow", home],
    )  # fmt: skip


def _v2(name: str, picture: NDArray[np.uint8]) -> bytes:
    tensor = {"name": name, "shape": list(picture.shape), "datatype": "UINT8", "data": picture.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()


def _binary(path: str, name: str, picture: NDArray[np.uint8]) -> Request:
    """As tritonclient sends it by default."""
    tensor = {
        "name": name, "shape": list(picture.shape), "datatype": "UINT8",
        "parameters": {"binary_data_size": picture.nbytes},
    }  # fmt: skip
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    header = json.dumps(document, separators=(",", ":")).encode()
    return Request(path, {**_BYTES, _HEADER_LENGTH: str(len(header))}, header + picture.tobytes(), _of_binary)


def _of_binary(body: bytes, headers: Mapping[str, str]) -> int:
    length = headers.get(_HEADER_LENGTH)
    if length is None:
        return _of_v2(body, headers)
    (output,) = json.loads(body[: int(length)])["outputs"]
    dtype: Any = {"FP32": np.float32, "UINT8": np.uint8}[output["datatype"]]
    return int(np.frombuffer(body[int(length) :], dtype).argmax())


def _of_floats(body: bytes, _: Mapping[str, str]) -> int:
    return int(np.frombuffer(body, np.float32).argmax())


def _of_v2(body: bytes, _: Mapping[str, str]) -> int:
    (output,) = json.loads(body)["outputs"]
    return int(np.argmax(output["data"]))


def _of_mlflow(body: bytes, _: Mapping[str, str]) -> int:
    return int(np.argmax(json.loads(body)["predictions"]))


def _of_photograph(body: bytes, _: Mapping[str, str]) -> int:
    """Whether a photograph with a face is answered; which label, a peer is not judged by."""
    return 0 if json.loads(body)["faces"] else -1
