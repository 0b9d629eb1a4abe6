"""One server for the tests that only ask it, and the requests they make of a model's tensor."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.serve.process import ServeProcess

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

CONFIG = """
[limits]
request_s = 3.0
tensors = 8
pictures = 2
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """The tiny model, served; a request has three seconds to come, and holds 8 tensors or 2 photographs at most."""
    folder = tmp_path_factory.mktemp("serve")
    with ServeProcess(folder, ["run", "--package", str(FIXTURES / "tiny-1.ewm")], config=CONFIG) as running:
        yield running.ready()


@pytest.fixture(scope="session")
def two_faces(portrait: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The portrait beside its mirror image, grey uint8."""
    face = portrait[0:300, 90:390]
    return np.hstack([face, np.asarray(cv2.flip(face, 1), np.uint8)])
