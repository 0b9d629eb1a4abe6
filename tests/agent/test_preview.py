"""The live preview: what a viewer sees, and who is not answered."""

# ruff: noqa: S310  # every address here is this machine's own

import re
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from edge_agent.inference.events import ShownFace
from edge_agent.preview import MjpegPreview
from edge_agent.settings import PreviewSettings
from edge_contract.errors import EdgewiseError
from edge_simulator.broker import free_port
from edge_vision.picture import Box


@pytest.fixture
def preview() -> MjpegPreview:
    made = MjpegPreview(PreviewSettings(enabled=True, port=free_port(), fps=30.0))
    made.start()
    return made


def test_the_preview_shows_a_jpeg_with_boxes_to_whoever_looks_and_copies_nothing_otherwise(
    preview: MjpegPreview,
) -> None:
    assert not preview.watched
    face = ShownFace(track=1, box=Box(10.0, 10.0, 30.0, 30.0), label="happy", confidence=0.9)
    with urllib.request.urlopen(preview.url + "stream", timeout=30) as stream:
        while not preview.watched:
            time.sleep(0.01)
        preview.show(np.full((120, 160), 128, np.uint8), (face,))
        header = b"".join(stream.readline() for _ in range(4))
        length = int(re.search(rb"Content-Length: (\d+)", header).group(1))  # type: ignore[union-attr]
        jpeg = stream.read(length)
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (120, 160, 3)
    assert tuple(shown[40, 25] > 150) == (False, True, False)  # the lower side of the box is green
    preview.stop()


@pytest.mark.parametrize(("host", "status_code"), [("127.0.0.1:1", 200), ("localhost", 200), ("evil.example:80", 421)])
def test_the_preview_answers_only_to_this_machines_own_name(
    preview: MjpegPreview, *, host: str, status_code: int
) -> None:
    request = urllib.request.Request(preview.url, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            found = response.status
    except urllib.error.HTTPError as error:
        found = error.code
    preview.stop()
    assert found == status_code


def test_a_taken_preview_port_is_named(preview: MjpegPreview) -> None:
    port = int(preview.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(EdgewiseError, match=f"127.0.0.1:{port}"):
        MjpegPreview(PreviewSettings(enabled=True, port=port))
    preview.stop()
