"""What a simulated device sees and counts: drawn faces, counted by the agent's own meters, sent in the agent's windows.

There is no spool: a window that cannot be sent is lost, and the next one carries all the same, for counts are
cumulative.
"""

import random
from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.inference.events import Compared
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.shadow_meter import ShadowMeter
from edge_agent.telemetry.windows import Windows
from edge_agent.update.work import Challenger
from edge_contract.messages import ModelRef, Telemetry
from edge_contract.metrics import DeviceCounter
from edge_simulator import faces
from edge_simulator.faces import Behaviour

_GOOD: Final = Behaviour()


class DrawnCamera:
    """One device's faces; `look` and `window` are called by one thread, the rest by any."""

    def __init__(
        self,
        device: str,
        board: str,
        *,
        session: int,
        behaviours: Mapping[str, Behaviour],
        chance: random.Random,
        now: Callable[[], float],
        answered: Callable[[ModelRef], None],
        failed: Callable[[ModelRef, str], None],
    ) -> None:
        """`behaviours`: by the beginning of the digest; a model that is not named is good.

        `answered`, `failed`: a model's evidence.
        """
        self._device, self._board, self._session = device, board, session
        self._behaviours, self._chance, self._now = behaviours, chance, now
        self._answered, self._failed = answered, failed
        self._meter, self._shadow_meter = Meter(), ShadowMeter()
        self._windows = Windows(self._meter, device=device, site=device, now=now())
        self._mix = faces.site_mix(chance)
        self._champion: ModelRef | None = None
        self._challenger: Challenger | None = None
        self._sequence = 0

    def activate(self, model: ModelRef) -> None:
        """This model answers from now on."""
        self._champion = model

    def shadow(self, challenger: Challenger | None) -> None:
        """This model runs beside it from now on, or none."""
        self._challenger = challenger
        if challenger is None or self._champion is None:
            self._shadow_meter.end()
        else:
            self._shadow_meter.begin(self._champion, challenger.model.manifest.ref, challenger.terms)

    def look(self, count: int) -> None:
        """So many faces pass, each looked at once."""
        for _ in range(count):
            champion, challenger = self._champion, self._challenger
            self._meter.frame(0)
            if champion is None:
                continue
            face = faces.draw(self._chance, self._mix)
            self._meter.count(DeviceCounter.FACES)
            first = self._ask(champion, face)
            if first is None:
                self._meter.count(DeviceCounter.ERRORS)
                self._meter.count(DeviceCounter.ERRORS_MODEL)
                self._failed(champion, "drawn")
                continue
            self._answered(champion)
            self._meter.classified(first.label, first.confidence)
            self._meter.stage("invoke", first.seconds)
            if challenger is None:
                continue
            model = challenger.model.manifest.ref
            second = self._ask(model, face)
            if second is None:
                self._shadow_meter.shadow_failed(champion, model)
                self._failed(model, "drawn")
                continue
            self._answered(model)
            self._shadow_meter.compared(
                Compared(
                    champion=champion,
                    challenger=model,
                    champion_label=first.label,
                    challenger_label=second.label,
                    champion_confidence=first.confidence,
                    challenger_confidence=second.confidence,
                    champion_seconds=first.seconds,
                    challenger_seconds=second.seconds,
                )
            )

    def window(self) -> Telemetry:
        """The window since the last one."""
        body = self._windows.cut(self._now(), self._champion, {}, {}, self._shadow_meter.read())
        self._sequence += 1
        key = (self._session, self._sequence)
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        return Telemetry(**fields, session=self._session, sequence=self._sequence, oldest=key)

    def _ask(self, model: ModelRef, face: faces.Face) -> faces.Answer | None:
        behaviour = next(
            (how for digest, how in self._behaviours.items() if model.digest.startswith(digest)), Behaviour()
        )
        return faces.answer(behaviour, face, self._board, model.digest)
