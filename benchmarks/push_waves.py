"""How many messages the release side publishes for a wave, by the size of the fleet: `make bench-push` prints both.

The devices are only what a broker retains of them, availability, inventory and reported state; what is counted is what
the controller that serves fleets publishes from `rollout start` until the stage stands.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.push_link import CountingLink
from edge_contract import topics
from edge_contract.messages import Availability, Info, ModelRef, Reported, encode
from edge_contract.package import ModelPackage
from edge_contract.update_state import UpdateState
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.plans.plan import Plan, WaveSize
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker

_GROUP: Final = "waves"
_PLAN: Final = Plan(waves=(WaveSize(share=0.5), WaveSize(share=1.0)), shadow=None, behaves=None)
_SETTLE_S: Final = 30.0


def wave_messages(folder: Path, devices: int, before: ModelPackage, release: ModelPackage) -> int:
    """Messages published for a wave of half of so many devices, the release's own files included."""
    repository = Repository(folder / "fleet", KeyStore((folder / "fleet" / "keys",)), lambda: datetime.now(UTC))
    repository.create(root_keys=1, threshold=1)
    releases, desired = Releases(repository), DesiredStates(repository)
    for package in (before, release):
        releases.add(package)
    with (
        Broker(folder / "broker") as broker,
        Link(BrokerAddress(port=broker.port)) as fleet,
        CountingLink(BrokerAddress(port=broker.port)) as link,
        RolloutStore(repository.directory) as store,
    ):
        publisher = Publisher(releases, desired, link)
        publisher.metadata()
        issued = publisher.push(lambda: desired.issue(f"group/{_GROUP}", before.manifest.ref))
        fleet.publish(_retained(devices, before.manifest.ref, issued.state.revision))
        controller = Controller(publisher, store, lambda _: None)
        seen = read_fleet(fleet)
        count = link.messages
        started = start(
            publisher, store, seen, release.manifest.name, release.manifest.release, _GROUP, _PLAN, by="benchmark"
        )
        deadline = time.monotonic() + _SETTLE_S
        state = store.get(started.state.id)
        while (state is None or not state.begun) and time.monotonic() < deadline:
            controller.turn()
            state = store.get(started.state.id)
        if state is None or not state.begun:
            raise RuntimeError("the wave did not begin")
        return link.messages - count


def _retained(devices: int, model: ModelRef, revision: int) -> Iterator[Arrived]:
    now = time.time()
    for number in range(devices):
        name = f"wave-{number:05}"
        info = Info(
            device=name, site=name, groups=(_GROUP,), session=1, agent="", board="Raspberry Pi 4", os="", python="",
            runtime="litert", camera="", camera_kind="v4l2", started=now,
        )  # fmt: skip
        reported = Reported(
            device=name, session=1, active=model, state=UpdateState.COMMITTED, target=model, revision=revision,
            progress=1.0, since=now, time=now,
        )  # fmt: skip
        yield Arrived(topics.device(name, "availability"), encode(Availability(state="online", session=1)))
        yield Arrived(topics.device(name, "info"), encode(info))
        yield Arrived(topics.device(name, "reported"), encode(reported))
