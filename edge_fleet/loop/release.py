"""From a package to everyone: checked, released, registered, rolled out, promoted. I/O, one function a step.

Each step looks first whether it is done: a release that is listed, a version that is registered, a rollout that this
run started, a champion that stands. So a step that a kill interrupted is repeated without harm.

Nothing here asks the gate for less: a package whose manifest does not say that its gate passed is refused, by what
releases it, by what registers it and by what rolls it out, and once more here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from edge_contract import package as packages
from edge_contract.errors import EdgewiseError, GateRefusedError, TrustError
from edge_contract.package import ModelPackage
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Link
from edge_fleet.loop.state import Clearing, Run
from edge_fleet.registry.registry import Registry
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_fleet.rollout import machine as rollouts
from edge_fleet.rollout.events import Aborted
from edge_fleet.rollout.machine import Phase
from edge_fleet.rollout.machine import State as Rollout
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import RolloutStore

Standing = Literal["runs", "waits", "completed", "halted", "ended"]


def by(run: str) -> str:
    """Who started a rollout, as its record says: how it is found again."""
    return f"loop {run}"


def approved_by_a_person(plan: Plan) -> Plan:
    """The plan with a person's approval after the canary, the first wave where that is of so many devices; where it is
    a share, before anything answers with the new release."""
    canary = len(plan.waves) > 1 and bool(plan.waves[0].devices)
    return replace(plan, approve=tuple(sorted({1 + canary, *plan.approve})))


def expected_of(releases: Releases, model: str) -> float | None:
    """The accuracy of a listed release NAME-RELEASE on its test split; None where nothing says it."""
    for listed in releases.readable():
        manifest = listed.manifest
        if f"{manifest.name}-{manifest.release}" == model and manifest.accuracy is not None:
            return manifest.accuracy.int8.accuracy
    return None


@dataclass(slots=True)
class ReleaseRoad:
    """One group's, of one repository on one broker."""

    releases: Releases
    desired: DesiredStates
    link: Link
    store: RolloutStore
    group: str
    plan: Plan
    registry: Callable[[], Registry] | None
    """Opened when it is needed; None where none is configured."""

    def package(self, run: Run) -> ModelPackage:
        """The package that came of a run, if it is the one that was named and its gate passed it.

        Raises:
            GateRefusedError: the gate did not pass it.
            TrustError: it is another one than the training named.
            UsageError: it cannot be read.
        """
        package = packages.read_file(Path(run.package))
        if package.manifest.ref != run.release:
            raise TrustError(f"{run.package} is not the package that the training named", remedy="look at its log")
        gate = package.manifest.gate
        if gate is None or not gate.passed:
            reasons = "; ".join(gate.reasons) if gate is not None else "it has not judged it"
            raise GateRefusedError(reasons or "no reason given")
        return package

    def register(self, run: Run) -> str:
        """Release it, and make it the challenger where there is a registry. What was done, in a sentence.

        Raises:
            EdgewiseError: a key is not here, or the registry cannot be reached.
        """
        package = self.package(run)
        what = f"{package.manifest.name} {package.manifest.release}"
        self.releases.add(package, notes=f"by the loop, {run.id}")
        if self.registry is None:
            return f"{what} is released"
        self.registry().register(package)
        return f"{what} is released, and the challenger in the registry"

    def roll_out(self, run: Run) -> str:
        """The id of this run's rollout, which is started unless it is there.

        Raises:
            EdgewiseError: something stands against it; the text says what.
        """
        if (found := self.rollout_of(run.id)) is not None:
            return found.id
        package = self.package(run)
        manifest = package.manifest
        publisher = Publisher(self.releases, self.desired, self.link)
        fleet = read_fleet(self.link)
        return start(
            publisher, self.store, fleet, manifest.name, manifest.release, self.group, self.plan, by=by(run.id)
        ).state.id

    def rollout_of(self, run: str) -> Rollout | None:
        """The rollout that this run started."""
        return next((each for each in self.store.all() if each.by == by(run)), None)

    def standing(self, rollout: str) -> tuple[Standing, str]:
        """How a rollout stands, and a sentence.

        Raises:
            TrustError: its record is gone.
        """
        state = self.store.get(rollout)
        if state is None:
            raise TrustError(f"the record of the rollout {rollout} is gone", remedy="see `edgewise rollout history`")
        match state.phase:
            case Phase.COMPLETED:
                return "completed", state.reason or f"{rollout} is complete"
            case Phase.HALTED:
                return "halted", f"{rollout} halted: {state.reason}"
            case Phase.ABORTED | Phase.SUPERSEDED:
                return "ended", f"{rollout} is {state.phase}: {state.reason}"
        if rollouts.needs_approval(state):
            return "waits", f"{rollout} waits for a person: edgewise rollout approve {rollout}"
        return "runs", f"{rollout} goes on"

    def promote(self, run: Run) -> str:
        """Make the release the champion where there is a registry. What was done, in a sentence.

        Raises:
            EdgewiseError: the registry cannot be reached, or does not permit it.
        """
        if run.release is None:
            raise EdgewiseError("the run has no release", remedy="look at its ledger")
        what = f"{run.release.name} {run.release.release}"
        if self.registry is None:
            return f"Group {self.group} runs {what}; no registry is configured that has a champion"
        registry = self.registry()
        champion = registry.champion(run.release.name)
        if champion is None or champion.digest != run.release.digest or champion.release != run.release.release:
            registry.promote(run.release.name, run.release.release, f"{run.id}: rolled out by {run.rollout}")
        return f"{what} is champion, and group {self.group} runs it"

    def abort(self, clearing: Clearing) -> str:
        """Abort the rollout of a stopped run, if one runs: everyone runs again what the group ran. What was done."""
        state = self.store.get(clearing.rollout) if clearing.rollout else self.rollout_of(clearing.run)
        if state is None or state.phase in rollouts.ENDED:
            return "No rollout of it runs."
        now = time.time()
        self.store.transition(state.id, Aborted("revert", clearing.by, now), now)
        return f"{state.id} is aborted."
