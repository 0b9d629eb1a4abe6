"""What a rollout would do: its plan, run by the release side's own controller on devices that are not there.

Everything is throw-away: a private broker on 127.0.0.1, fresh keys, a copy of both releases. Nothing here speaks to the
real fleet, whose broker and folder are read before.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_agent.mqtt.settings import BrokerSettings
from edge_contract.errors import EdgewiseError
from edge_contract.package import ModelPackage
from edge_contract.scope import Scope
from edge_fleet.devices.healing import Healing
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_fleet.rollout import machine
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.evidence import evidence
from edge_fleet.rollout.evidence.pooling import Pooled, together
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import Line, RolloutStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from edge_simulator.clock import FastClock
from edge_simulator.device import Site
from edge_simulator.faces import Behaviour
from edge_simulator.fleet import SimulatedFleet

_BEGIN_S: Final = 120.0
"""For all that is not away to run the release before."""
_LINE: Final = 100  # characters of a line while it runs
_SHOW_S: Final = 2.0
_TURN_S: Final = 0.5
"""Between two looks of the controller."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How it went."""

    state: State
    ledger: tuple[Line, ...]
    shadow: Pooled
    took: float
    """Seconds by the clock of the rehearsal, from the start of the rollout."""
    runs: int
    """Devices that run the release at the end."""


def rehearse(
    before: ModelPackage,
    release: ModelPackage,
    plan: Plan,
    sites: Sequence[Site],
    folder: Path,
    *,
    group: str,
    speed: float,
    seconds: float,
    behaviours: Mapping[str, Behaviour],
    seed: int = 1,
    show: Callable[[str], None] = lambda _: None,
) -> Rehearsed:
    """Bring all devices to `before`, then roll `release` out; returns when it ended or waits for a person.

    `sites` are in `group`. `speed`: seconds of the rehearsal in one of ours. `seconds`: by our clock, after which it is
    given up as it stands. `show` is called with a line whenever something changed.

    Raises:
        EdgewiseError: mosquitto is missing, or the devices did not come up.
    """
    clock = FastClock(speed)
    repository = Repository(
        folder / "fleet", KeyStore((folder / "fleet" / "keys",)), lambda: datetime.fromtimestamp(clock(), UTC)
    )
    repository.create(root_keys=1, threshold=1)
    releases, desired = Releases(repository), DesiredStates(repository, clock)
    for package in (before, release):
        releases.add(package)
    root = repository.files()["1.root.json"]
    with (
        Broker(folder / "broker") as broker,
        SimulatedFleet(
            sites, folder / "devices", broker=BrokerSettings(port=broker.port), root=root, seed=seed,
            behaviours=behaviours, clock=clock,
        ) as fleet,
        Link(BrokerAddress(port=broker.port), patient=True) as link,
        RolloutStore(repository.directory) as store,
    ):  # fmt: skip
        publisher = Publisher(releases, desired, link)
        healing = Healing(publisher, show)
        healing.begin()
        fleet.start()
        publisher.release(releases.find(before.manifest.name, before.manifest.release))
        publisher.push(lambda: desired.issue(str(Scope("group", group)), before.manifest.ref))
        here = sum(not site.away for site in sites)
        deadline = time.monotonic() + _BEGIN_S
        while fleet.running(before.manifest.digest) < here:
            if time.monotonic() > deadline:
                raise EdgewiseError(
                    f"{fleet.running(before.manifest.digest)} of {here} simulated devices came up in {_BEGIN_S:g} s",
                    remedy="rehearse with fewer devices",
                )
            healing.turn(_TURN_S)
        show(f"{here} of {len(sites)} devices run {before.manifest.name} {before.manifest.release}")
        controller = Controller(publisher, store, show, clock)
        began, name = clock(), release.manifest
        started = start(
            publisher, store, read_fleet(link), name.name, name.release, group, plan, by="rehearsal"
        ).state.id
        end = time.monotonic() + seconds
        said, shown = "", 0.0
        state = _state(store, started)
        while not machine.is_settled(state) and time.monotonic() < end:
            healing.turn(_TURN_S)
            controller.turn()
            state = _state(store, started)
            if (line := _line(state)) != said and time.monotonic() - shown >= _SHOW_S:
                said, shown = line, time.monotonic()
                show(line)
        return Rehearsed(
            state=state,
            ledger=tuple(store.ledger(started)),
            shadow=together(store.devices(started, "evidence", evidence.decode)),
            took=clock() - began,
            runs=fleet.running(name.digest),
        )


def _state(store: RolloutStore, rollout: str) -> State:
    found = store.get(rollout)
    if found is None:
        raise EdgewiseError("the rehearsal's own database is damaged", remedy="check the disk and rehearse again")
    return found


def _line(state: State) -> str:
    """In short: the ledger has all of it at the end."""
    where = str(state.stages[state.position]) if state.position < len(state.stages) else state.phase
    if state.verdict is None:
        return f"{where}: begins"
    first = next(one.text for one in state.verdict.findings if one.outcome is state.verdict.outcome)
    return f"{where}: {state.verdict.outcome}. {first}"[:_LINE]
