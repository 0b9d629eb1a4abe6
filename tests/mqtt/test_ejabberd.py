"""A push by the command line, and a rollout, on a broker that is not mosquitto: see `ejabberd`."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_contract import topics
from edge_contract.messages import Availability, Info, encode
from edge_fleet.cli import app
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import events
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.machine import Phase
from edge_fleet.rollout.plans.plan import HealthyGate, InstalledGate, Plan, ShadowGate, WaveSize
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from tests.agent.update.update_bench import DEVICE, FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually
from tests.mqtt.ejabberd import Ejabberd

pytestmark = pytest.mark.slow

PLAN = Plan(
    waves=(WaveSize(share=1.0),),
    shadow=ShadowGate(share=1.0),
    installed=InstalledGate(minimum=1),
    healthy=HealthyGate(soak=0.0),
    behaves=None,
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Ejabberd]:
    with Ejabberd(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    quick_waits(monkeypatch)
    with ExitStack() as stack:
        yield stack


def test_keys_to_a_release_that_runs_by_the_command_line(tmp_path: Path, broker: Ejabberd, stack: ExitStack) -> None:
    account = broker.account("release")
    environment = {
        "EDGEWISE_REPOSITORY": str(tmp_path / "fleet"),
        "EDGEWISE_BROKER": f"mqtt://{account['username'].replace('@', '%40')}@127.0.0.1:{broker.port}",
        "EDGEWISE_BROKER_PASSWORD": account["password"],
    }

    def edgewise(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env=environment)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    edgewise("keys", "init")
    for release in (1, 2):
        edgewise("release", str(FIXTURES / f"tiny-{release}.ewm"))
    edgewise("push", "tiny", "1", "--group", GROUP)
    root = ReleaseSide(tmp_path / "fleet", broker.port).repository.first_root()
    device = Device(tmp_path / "device", broker.port, root, account=broker.account("camera"))
    stack.enter_context(device)
    device.until("committed")
    edgewise("push", "tiny", "2", "--group", GROUP)
    eventually(lambda: device.running == tiny(2).manifest.digest, "tiny 2 runs")
    eventually(lambda: '"committed"' in edgewise("fleet", "ls", "--json"), "it is shown")
    assert json.loads(edgewise("fleet", "heal", "--json"))["published"] == 0  # the broker retains all of it


def test_a_rollout_s_shadow_is_taken_up_and_its_end_too(tmp_path: Path, broker: Ejabberd, stack: ExitStack) -> None:
    account = broker.account("release")
    side = ReleaseSide(tmp_path / "fleet", broker.port, account=account)
    device = Device(tmp_path / "device", broker.port, side.repository.first_root(), account=broker.account("camera"))
    stack.enter_context(device)
    side.push(tiny(1))
    device.until("committed")
    side.releases.add(tiny(2))
    link, reader = (
        stack.enter_context(Link(BrokerAddress(port=broker.port, **account)))  # type: ignore[arg-type]
        for _ in range(2)
    )
    session = device.reported.session
    info = Info(
        device=DEVICE, site="hall", groups=(GROUP,), session=session, agent="1", board="test", os="", python="",
        runtime="test", camera="", camera_kind="drawn", started=time.time(),
    )  # fmt: skip
    availability = Availability(state="online", session=session)
    link.publish(
        [
            Arrived(topics.device(DEVICE, "info"), encode(info)),
            Arrived(topics.device(DEVICE, "availability"), encode(availability)),
        ]
    )
    publisher = Publisher(side.releases, side.desired, link)
    store = stack.enter_context(RolloutStore(side.directory))
    rollout = start(publisher, store, read_fleet(reader), "tiny", 2, GROUP, PLAN, by="maria").state.id
    controller = Controller(publisher, store, lambda _: None)

    def turned(condition: object) -> bool:
        controller.turn()
        return bool(condition)

    eventually(lambda: turned(device.reported.state == "shadowing"), "it runs both")
    assert device.beside == [tiny(2).manifest.ref]
    store.transition(rollout, events.Aborted("revert", "maria", side.now()), side.now())
    eventually(lambda: turned(device.reported.state == "committed"), "it runs what it ran")
    state = store.get(rollout)
    assert state is not None
    assert state.phase is Phase.ABORTED
    assert device.activated == [tiny(1).manifest.ref]
