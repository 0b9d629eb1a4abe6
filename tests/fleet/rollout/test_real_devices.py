"""A rollout to a device with the real update machine, real models and its own self-test, on a real broker."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_contract import package, topics
from edge_contract.messages import Availability, Info, Message, encode
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import machine
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.machine import Phase, State
from edge_fleet.rollout.plans.plan import HealthyGate, InstalledGate, Plan, WaveSize
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import DEVICE, FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.fleet.rollout.scripted import eventually

PLAN = Plan(
    waves=(WaveSize(share=1.0),),
    shadow=None,
    installed=InstalledGate(minimum=1),
    healthy=HealthyGate(soak=0.0),
    behaves=None,
)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    quick_waits(monkeypatch)
    with ExitStack() as stack:
        yield stack


def rolled_out(
    tmp_path: Path, broker: Broker, stack: ExitStack, release: str, retry: tuple[bool, ...] = (False,)
) -> tuple[list[State], Device]:
    """Rollouts of a fixture to one device that runs tiny 1, one after the other, when all have ended; the device.

    `retry`: of each.
    """
    side = ReleaseSide(tmp_path / "fleet", broker.port)
    device = stack.enter_context(Device(tmp_path / "device", broker.port, side.repository.first_root()))
    side.push(tiny(1))
    device.until("committed")
    new = package.read_file(FIXTURES / release)
    side.releases.add(new)
    link, reader = (stack.enter_context(Link(BrokerAddress(port=broker.port))) for _ in range(2))
    session = device.reported.session
    said: dict[topics.DeviceLeaf, Message] = {
        "availability": Availability(state="online", session=session),
        "info": Info(
            device=DEVICE, site="hall", groups=(GROUP,), session=session, agent="1", board="test", os="", python="",
            runtime="test", camera="", camera_kind="drawn", started=time.time(),
        ),
    }  # fmt: skip
    link.publish(Arrived(topics.device(DEVICE, leaf), encode(message)) for leaf, message in said.items())
    publisher = Publisher(side.releases, side.desired, link)
    store = stack.enter_context(RolloutStore(side.directory))
    ref = new.manifest.ref
    controller = Controller(publisher, store, lambda _: None)
    found = []
    for asked in retry:
        fleet = read_fleet(reader)
        rollout = start(publisher, store, fleet, ref.name, ref.release, GROUP, PLAN, by="maria", retry=asked).state.id

        def ended(rollout: str = rollout) -> bool:
            state = store.get(rollout)
            return state is not None and not machine.is_open(state)

        eventually(ended, f"it ended: {store.get(rollout)}", controller.turn)
        state = store.get(rollout)
        assert state is not None
        found.append(state)
    return found, device


def test_a_good_release_is_committed_by_the_device_and_passes(tmp_path: Path, broker: Broker, stack: ExitStack) -> None:
    (state,), device = rolled_out(tmp_path, broker, stack, "tiny-2.ewm")
    assert state.phase is Phase.COMPLETED
    assert device.running == tiny(2).manifest.digest


def test_one_that_answers_nothing_is_refused_by_the_device_and_halts(
    tmp_path: Path, broker: Broker, stack: ExitStack
) -> None:
    (state,), device = rolled_out(tmp_path, broker, stack, "nan-1.ewm")
    assert state.phase is Phase.HALTED
    assert f"rejected: {DEVICE}" in state.reason.lower()
    assert device.running == tiny(1).manifest.digest


def test_a_device_that_refused_a_release_tries_it_once_more_where_that_is_asked(
    tmp_path: Path, broker: Broker, stack: ExitStack
) -> None:
    states, _ = rolled_out(tmp_path, broker, stack, "nan-1.ewm", (False, False, True))
    assert [state.phase for state in states] == [Phase.HALTED] * 3
    remembered = "failed on this device before"
    assert [remembered in state.reason for state in states] == [False, True, False]
