"""What tests of every role share: a real broker, and the development data when it is there."""

import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from edge_contract.package import ModelPackage, read_file
from edge_simulator.broker import Broker

REPOSITORY = Path(__file__).resolve().parents[1]
settings.register_profile("no times", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no times")


def pytest_configure() -> None:
    """Processes that tests interrupt can be: what a shell starts in the background inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups first, each of which one worker takes from its first test to its last: begun late, the others wait."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A mosquitto of this test's own; `broker.port` is on 127.0.0.1."""
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Development data that stands beside the repository and is not part of it; skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data beside the repository (../shared/data) is not here")
    return folder


@pytest.fixture(scope="session")
def tiny() -> ModelPackage:
    """A real int8 model of five kilobytes, with seven labels and goldens; it knows nothing."""
    return read_file(Path(__file__).parent / "fixtures" / "tiny-1.ewm")


@pytest.fixture(scope="session")
def portrait() -> NDArray[np.uint8]:
    """A real face: the public-domain portrait inside scikit-image, grey uint8 [512, 512]; skips without it."""
    beside = REPOSITORY.parent / "shared" / "data" / "astronaut.png"
    if beside.is_file():  # in a device's environment there is no scikit-image
        return np.asarray(cv2.imread(str(beside), cv2.IMREAD_GRAYSCALE), np.uint8)
    data = pytest.importorskip("skimage.data", reason="scikit-image, which carries the portrait, is not installed")
    return np.asarray(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY), np.uint8)


def pytest_make_parametrize_id(val: object) -> str | None:
    """No bytes in a test's name: two workers that make them a moment apart would collect different tests."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) and len(val) > 32 else None
