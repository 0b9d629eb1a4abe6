"""What the bridge's tests share: a bridge of the test's own, and an empty database of each kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.postgresql import postgresql

__all__ = ["bridge", "database", "postgresql", "standing", "standing_broker"]


@pytest.fixture
def bridge(broker: Broker, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A ready bridge beside the test's broker."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    with BridgeProcess(folder, broker.port) as running:
        yield running


class Standing(NamedTuple):
    """A broker and a bridge that several tests use, each with device names of its own."""

    broker: Broker
    bridge: BridgeProcess


@pytest.fixture(scope="session")
def standing_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """For tests that need one, and that others may use at the same time."""
    with Broker(tmp_path_factory.mktemp("standing-broker")) as broker:
        yield broker


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Started once: a bridge takes a second or two to load."""
    folder = tmp_path_factory.mktemp("standing")
    with Broker(folder / "broker") as broker, BridgeProcess(folder, broker.port) as bridge:
        yield Standing(broker, bridge)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    server: str = request.getfixturevalue("postgresql")
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    import psycopg  # noqa: PLC0415  # only where the fixture above did not skip

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.rsplit("/", 1)[0] + f"/{name}"
