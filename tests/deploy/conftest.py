"""What watches a fleet, started once for the tests of deploy/: broker, bridge, Prometheus, Alertmanager, real all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.alert_receiver import Alert, AlertReceiver
from demo.steps import Steps
from demo.watching import Watching
from edge_contract.errors import EdgewiseError
from edge_simulator.broker import free_port
from tests.eventually import eventually
from tests.postgresql import postgresql

__all__ = ["postgresql", "standing"]


@dataclass
class Standing:
    """The parts, and what came to the webhook."""

    watching: Watching
    arrived: list[Alert]
    """Everything, in order."""

    def alert(self, wanted: Callable[[Alert], bool]) -> Alert:
        """The first alert of this kind, once it came."""
        eventually(lambda: any(map(wanted, self.arrived)), lambda: str(self.arrived[-20:]))
        return next(filter(wanted, self.arrived))


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """With the rules and routes of deploy/, one second wherever they say how often or how long."""
    arrived: list[Alert] = []
    ports = {part: free_port() for part in ("broker", "bridge", "alerts", "alertmanager", "prometheus")}
    folder: Path = tmp_path_factory.mktemp("watching")
    settings = '[metrics]\nper_device = ["all"]\n[drift]\ncommission_tracks = 200\ncommission_hours = 0\n'
    (folder / "bridge.toml").write_text(settings)
    with Watching(folder, Steps(), ports=ports, quick=True, bridge=folder / "bridge.toml") as watching:
        try:
            watching.check()
        except EdgewiseError as error:
            pytest.skip(str(error))
        with AlertReceiver(ports["alerts"], watching.token(), arrived.append):
            watching.start()
            yield Standing(watching, arrived)
