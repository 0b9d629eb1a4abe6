"""What the training's tests share."""

from pathlib import Path

import pytest

from tests.postgresql import postgresql
from tests.train.pictures_of_shapes import shapes
from tests.train.small_runs import settings
from train.fit import fit

__all__ = ["postgresql"]


@pytest.fixture(scope="session")
def shapes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training on `shapes()`; nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("shapes")
    fit(settings(folder), shapes())
    return folder / "run"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of training the time that TensorFlow takes on a busy machine, where they name no limit themselves."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))  # seconds
