"""A group follows the registry's champion: where `champion` moves, a rollout of that version starts by itself.

Once a move: what came of it is the rollout's business, and one that halted is not begun again until somebody promotes
another release or starts it by hand. What cannot be started is said once, and tried again at the next look. All of it
is told from what is kept: a kill between starting a rollout and noting it starts no second one.
"""

import time
from collections.abc import Callable
from typing import Final

from edge_contract.command_end import explained
from edge_contract.errors import EdgewiseError, GateRefusedError, TrustError
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_fleet.devices.view import Fleet
from edge_fleet.registry.champion_watch import ChampionWatch, Look
from edge_fleet.registry.mlflow import Version
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout.plans.plan import Plan
from edge_fleet.rollout.precedence import check_free
from edge_fleet.rollout.start import start
from edge_fleet.rollout.store import Followed, RolloutStore

BY: Final = "fleet serve --follow"
"""Who starts these rollouts, in the ledger."""
GATHER_S: Final = 5.0
"""Until a slow broker has told of all devices: of half of them the waves would be drawn wrong."""


class Follower:
    """One model and one group."""

    def __init__(
        self,
        publisher: Publisher,
        store: RolloutStore,
        fleet: Fleet,
        watch: ChampionWatch,
        group: str,
        plan: Plan,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fleet`: kept up by who conducts the rollouts. `say` is called with a sentence for the operator's log."""
        self._publisher, self._store, self._fleet, self._watch = publisher, store, fleet, watch
        self._group, self._plan, self._say = group, plan, say
        self._seen, self._said = 0, ""
        self._clock, self._from = clock, clock() + GATHER_S

    def turn(self) -> None:
        """Do what the newest look at the registry asks for; nothing where there is no new one."""
        look = self._watch.look
        if look is None or look.number == self._seen or not self._publisher.link.connected:
            return
        if self._clock() < self._from:
            return
        self._seen = look.number
        try:
            self._follow(look)
        except Exception as error:
            known = explained(error)
            if known is None:
                raise
            self._tell(f"the champion of {self._watch.model} is not rolled out to group {self._group}: {known}")
        else:
            self._said = ""

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _follow(self, look: Look) -> None:
        if look.champion is None:
            raise EdgewiseError(look.trouble)
        champion = look.champion
        if self._is_dealt_with(champion):
            return
        check_free(self._store, self._group)
        desired = self._publisher.desired.of(str(Scope("group", self._group)))
        if desired is None or desired.state.model.digest != champion.digest:
            if not self._is_released(champion) and not self._release(look, champion):
                return  # its package is on the way
            started = start(
                self._publisher,
                self._store,
                self._fleet,
                champion.name,
                champion.release,
                self._group,
                self._plan,
                by=BY,
            )
            self._say(
                f"{champion.name} {champion.release} became champion: {started.state.id} rolls it out to group "
                f"{self._group}."
            )
            for note in started.notes:
                self._say(note)
        self._dealt_with(champion)

    def _is_dealt_with(self, champion: Version) -> bool:
        kept = self._store.followed(champion.name, self._group)
        if kept is not None and (kept.version, kept.digest) == (champion.version, champion.digest):
            return True
        last = next((state for state in reversed(self._store.all()) if state.group == self._group), None)
        if last is None or last.release != _ref(champion) or (kept is not None and last.started < kept.time):
            return False
        self._dealt_with(champion)  # started by a person, or noted no more before a kill
        return True

    def _dealt_with(self, champion: Version) -> None:
        now = self._publisher.desired.now()
        self._store.follow(champion.name, self._group, Followed(champion.version, champion.digest, now))

    def _is_released(self, champion: Version) -> bool:
        """Whether it is listed here.

        Raises:
            TrustError: another model is, under its name and number.
        """
        for known in self._publisher.releases.listed():
            ref = known.manifest.ref
            if (ref.name, ref.release) != (champion.name, champion.release):
                continue
            if ref.digest != champion.digest:
                raise TrustError(
                    f"{ref.name} {ref.release} is released as another model ({ref.digest[:12]}) than the registry's "
                    f"champion ({champion.digest[:12]})",
                    remedy="register what was released, or package the other one with a higher release number",
                )
            return True
        return False

    def _release(self, look: Look, champion: Version) -> bool:
        """Release the registry's package where the release key is here; False while it is still to be fetched.

        Raises:
            EdgewiseError: the key is not here, or the registry does not give the package; the text says what to run.
            GateRefusedError: the package did not pass the gate.
        """
        what = f"{champion.name} {champion.release}"
        try:
            self._publisher.releases.repository.release_signer()
            if look.trouble:
                raise EdgewiseError(look.trouble)
        except EdgewiseError as error:
            raise EdgewiseError(
                f"{what} is not released, and {error.problem.rstrip('.')}",
                remedy=f"run `edgewise release {champion.name}-{champion.release}.ewm` where the release key is",
            ) from error
        if look.package is None:
            self._watch.fetch(champion)
            return False
        gate = look.package.manifest.gate
        if gate is None or not gate.passed:
            raise GateRefusedError(f"{what} did not pass the gate", remedy="promote a release that did (`make gate`)")
        self._publisher.releases.add(look.package)
        self._say(f"{what} is released: it became champion in the registry.")
        return True


def _ref(champion: Version) -> ModelRef:
    return ModelRef(name=champion.name, release=champion.release, digest=champion.digest)
