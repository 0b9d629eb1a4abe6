"""What the pipeline tells of its looks, held against consent and caps: the sampler's one place of state.

Runs on the pipeline's thread and never fails it: whatever goes wrong here is logged, and the frame was answered.
"""

import logging
from collections.abc import Callable
from typing import Final

from edge_agent.inference.events import ModelAnswer, Shown
from edge_agent.sampling import sampler
from edge_agent.sampling.consent import Permission
from edge_agent.sampling.sampler import Draw, Now, Pick, Rules, State, Step
from edge_agent.sampling.sealing import fits
from edge_contract.crop import SIDE

_AGAIN_S: Final = 60.0
_log = logging.getLogger(__name__)


class FaceSampler:
    """A `CropObserver`."""

    def __init__(
        self,
        rules: Rules,
        state: State,
        permission: Permission,
        *,
        keep: Callable[[Pick], None],
        held: Callable[[], int],
        draw: Draw,
        clock: Callable[[], float],
    ) -> None:
        """`keep` gets what is kept and must not block; `held`: bytes on disk; `clock`: seconds that only grow."""
        self._rules, self._state, self._permission = rules, state, permission
        self._keep, self._held, self._draw, self._clock = keep, held, draw, clock
        self.capped = 0
        """Faces that would have been kept while nothing was left of a cap."""
        self._too_large = ""
        self._failed = -_AGAIN_S

    def looked(self, shown: Shown, moment: float) -> None:
        """Keep it, or not."""
        manifest = shown.answer.manifest
        if not fits(manifest):
            if self._too_large != manifest.digest:
                self._too_large = manifest.digest
                _log.warning(
                    "no face is sampled for labelling: %s takes pictures with a side of more than %d pixels",
                    manifest.name, SIDE,
                )  # fmt: skip
            return
        self._step(lambda now: sampler.looked(self._state, self._rules, shown, moment, now, self._draw))

    def differed(self, shown: Shown, other: ModelAnswer) -> None:
        """Keep it, or not."""
        self._step(lambda now: sampler.differed(self._state, self._rules, shown, other, now, self._draw))

    def only(self, known: frozenset[int]) -> None:
        """Keep what was picked of tracks that are over."""
        if not known.issuperset(self._state.faces):
            self._step(lambda _: sampler.only(self._state, known))

    def _step(self, step: Callable[[Now], Step]) -> None:
        try:
            taken = self._permission.take()
            if taken is None:
                self._state = sampler.without_candidates(self._state)
                return
            done = step(Now(taken, self._clock(), self._held()))
            self._state = done.state
            self.capped += done.capped
            for pick in done.picks:
                self._keep(pick)
        except Exception:  # noqa: BLE001  # the pipeline goes on, whatever it is
            if self._clock() - self._failed >= _AGAIN_S:
                self._failed = self._clock()
                _log.exception("a face was not sampled for labelling")
