"""What the training's tests share."""

from pathlib import Path

import pytest

from tests.postgresql import postgresql

__all__ = ["postgresql"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of training the time that TensorFlow takes on a busy machine, where they name no limit themselves."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))  # seconds
