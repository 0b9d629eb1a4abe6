"""Photographs: what a device says of one, bit for bit; and damaged, lying and huge ones refused by name."""

import base64
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.settings import PipelineSettings
from edge_agent.tools import predict
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from edge_vision.faces import HaarDetector
from tests.serve.process import ServeProcess

PHOTOGRAPHS = "/v1/photographs"


def encoded(picture: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, picture)[1].tobytes())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_server_says_of_a_photograph_bit_for_bit_what_the_agent_says(
    tmp_path: Path, server: ServeProcess, two_faces: np.ndarray, tiny: ModelPackage, suffix: str
) -> None:
    file = tmp_path / f"two{suffix}"
    file.write_bytes(encoded(two_faces, suffix))
    events: list[PredictionEvent] = []
    predict.predict(
        open_source(SourceSettings(url=str(file), pace="fast")),
        HaarDetector(), Classifier(tiny.model, tiny.manifest), PipelineSettings(),
        on_prediction=events.append, on_error=pytest.fail,
    )  # fmt: skip
    said = server.ask("POST", PHOTOGRAPHS, file.read_bytes(), content_type="image/jpeg").json()
    assert len(events) == len(said["faces"]) == 2
    assert (said["model_name"], said["model_version"]) == ("tiny", "1")
    for event, face in zip(events, said["faces"], strict=True):
        assert tuple(face["probabilities"].values()) == event.probabilities
        assert (face["label"], face["confidence"]) == (event.label, event.confidence)
        box = face["box"]
        shares = (box["left"] / 600, box["top"] / 300, box["width"] / 600, box["height"] / 300)
        assert shares == pytest.approx(event.box, abs=1e-12)  # the agent's went by way of the right edge


def test_photographs_and_tensors_are_answered_together_in_their_order(
    server: ServeProcess, two_faces: np.ndarray
) -> None:
    picture = {"b64": base64.b64encode(encoded(two_faces, ".png")).decode()}
    tensor = np.zeros((48, 48), int).tolist()
    body = json.dumps({"instances": [tensor, picture, tensor]}).encode()
    first, faces, last = server.ask("POST", "/invocations", body, content_type="application/json").json()["predictions"]
    assert first == last
    assert len(first) == 7
    assert len(faces["faces"]) == 2


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A grey PNG whose header says what it likes of its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


NOISE = np.random.default_rng(3).integers(0, 255, (64, 64), np.uint8)
JPEG, PNG, WEBP = (encoded(NOISE, suffix) for suffix in (".jpg", ".png", ".webp"))


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "no photograph"),
        (b"hello", 415, "no JPEG, PNG or WebP"),
        (b"GIF89a\x10\x00\x10\x00", 415, "no JPEG, PNG or WebP"),
        (JPEG[: len(JPEG) // 2], 422, "not whole"),
        (JPEG[:-2], 422, "not whole"),
        (PNG[:-8], 422, "not whole"),
        (PNG[: len(PNG) // 2], 422, "not whole"),
        (WEBP[:-9], 422, "not whole"),
        (JPEG[:3], 422, "header is damaged"),
        (png(64, 64, bytes(100)), 422, "damaged"),
        (png(10_000, 2_400, bytes(9)), 413, "10000x2400 pixels"),
        (png(10_000, 1, bytes(10_001)), 413, "10000x1 pixels"),
        (png(2**31 - 1, 2**31 - 1, bytes(9)), 413, "pixels"),
        (png(5_000, 5_000, bytes(5_000 * 5_001)), 413, "5000x5000 pixels passes the limit of 24,000,000"),
        (png(0, 5, b""), 422, "damaged"),
    ],
)  # fmt: skip
def test_a_photograph_that_is_none_is_refused_by_name_and_the_next_is_answered(
    server: ServeProcess, body: bytes, status: int, says: str
) -> None:
    found = server.ask("POST", PHOTOGRAPHS, body, content_type="image/png")
    assert (found.status, says in found.json()["error"]) == (status, True), found.body
    assert server.ask("POST", PHOTOGRAPHS, PNG).json()["width"] == 64


def test_more_photographs_than_may_be_are_refused(server: ServeProcess) -> None:
    one = {"b64": base64.b64encode(PNG).decode()}
    body = json.dumps({"instances": [one] * 3}).encode()
    found = server.ask("POST", "/score", body, content_type="application/json")
    assert (found.status, "3 photographs in one request pass the limit of 2" in found.json()["error"]) == (413, True)
