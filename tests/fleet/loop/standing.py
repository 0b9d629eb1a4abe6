"""A loop with a real release side, broker, devices and trainings, turned by hand; what trains is a program that copies
a package that was made before."""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from edge_contract import package as packages
from edge_contract.package import ModelPackage
from edge_fleet.link import Link
from edge_fleet.loop.controller import Controller
from edge_fleet.loop.release import ReleaseRoad
from edge_fleet.loop.settings import LimitSettings, LoopSettings, RolloutSettings, TrainingSettings
from edge_fleet.loop.setup import action_of
from edge_fleet.loop.state import Run, State
from edge_fleet.loop.store import LoopStore
from edge_fleet.registry.registry import Registry
from edge_fleet.rollout.plans.plan import Plan, WaveSize
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from tests.agent.update.update_bench import ReleaseSide, tiny
from tests.fleet.rollout.test_controller import QUICK

PROGRAM = """
import os, pathlib, sys
with open("trained", "a") as file:
    file.write(os.environ["RETRAIN_RUN"] + " " + os.environ["RETRAIN_CAUSE"] + "\\n")
print(pathlib.Path("answer.json").read_text())
sys.exit(int(pathlib.Path("status").read_text()))
"""
PLAN = replace(QUICK, waves=(WaveSize(devices=1), WaveSize(share=1.0)))
LIMITS = LimitSettings(trainings_per_week=3, cooldown_hours=0, gather_s=0, lasting_hours=0, patience_hours=1)


def numbered(release: int) -> ModelPackage:
    """A further release of the second model."""
    package = tiny(2)
    return package._replace(manifest=replace(package.manifest, release=release))


def settings_of(folder: Path, **changed: object) -> LoopSettings:
    """Those of a loop in this folder, without patience."""
    training = TrainingSettings(
        command=(sys.executable, "train.py"), checkout=folder / "checkout", work=folder / "runs", hours=1
    )
    given = {"model": "tiny", "group": "lab", "repository": folder / "fleet", "limits": LIMITS, "training": training}
    return LoopSettings(**{**given, "rollout": RolloutSettings(approve=False), **changed})  # type: ignore[arg-type]


def answers_with(folder: Path, package: ModelPackage | None, *, status: int = 0, **document: object) -> None:
    """Let the next training end so; with `package` it made that."""
    checkout = folder / "checkout"
    checkout.mkdir(exist_ok=True)
    (checkout / "train.py").write_text(PROGRAM)
    (checkout / "status").write_text(str(status))
    if package is not None:
        ref = package.manifest.ref
        (checkout / package.file_name).write_bytes(packages.write(package))
        said = {"package": package.file_name, "name": ref.name, "release": ref.release, "digest": ref.digest}
        document = {**said, "measured": {"field_accuracy_after": 0.7}, **document}
    (checkout / "answer.json").write_text(json.dumps(document))


class Standing:
    """One loop, with what it stands on."""

    def __init__(
        self,
        folder: Path,
        port: int,
        stack: ExitStack,
        *,
        plan: Plan = PLAN,
        registry: Callable[[], Registry] | None = None,
        **changed: object,
    ) -> None:
        self.folder, self.offset = folder, 0.0
        self.settings = settings_of(folder, **changed)
        side = ReleaseSide(folder / "fleet", port)
        self.store = stack.enter_context(LoopStore(folder / "fleet"))
        self.rollouts = stack.enter_context(RolloutStore(folder / "fleet"))
        link = stack.enter_context(Link(BrokerAddress(port=port)))
        self.said: list[str] = []
        self.action = action_of(self.settings, os.environ, self.said.append)
        self.road = ReleaseRoad(side.releases, side.desired, link, self.rollouts, "lab", plan, registry)
        self.controller = Controller(self.settings, self.store, self.action, self.road, self.said.append, self.now)

    def now(self) -> float:
        return time.time() + self.offset

    @property
    def state(self) -> State:
        return self.store.state("tiny")

    def turn(self) -> None:
        self.controller.turn()

    @property
    def last(self) -> Run:
        return self.state.recent[0]

    @property
    def run(self) -> Run:
        found = self.state.current
        assert found is not None
        return found

    def trained(self) -> list[str]:
        file = self.folder / "checkout" / "trained"
        return file.read_text().splitlines() if file.exists() else []
