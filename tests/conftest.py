"""What tests of every role share: a real broker, and the development data when it is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.broker import Broker

REPOSITORY = Path(__file__).resolve().parents[1]


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
