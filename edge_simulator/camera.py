"""What a simulated device sees and counts: drawn faces, counted by the agent's own meters, sent in the agent's windows.

There is no spool: a window that cannot be sent is lost, and the next one carries all the same, for counts are
cumulative.
"""

import random
from collections.abc import Callable, Mapping

from edge_agent.inference.events import Compared, CountedTrack
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.shadow_meter import ShadowMeter
from edge_agent.telemetry.track_meter import TrackMeter
from edge_agent.telemetry.windows import Windows
from edge_agent.update.work import Challenger
from edge_contract.manifest import ModelManifest
from edge_contract.messages import ModelRef, Telemetry
from edge_contract.metrics import DeviceCounter
from edge_simulator import faces
from edge_simulator.faces import Behaviour
from edge_simulator.gauges import DrawnGauges, fps
from edge_simulator.scenes import Effect


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
        gauges: DrawnGauges,
        effect: Callable[[float], Effect],
        faces_per_s: float,
        now: Callable[[], float],
        answered: Callable[[ModelRef], None],
        failed: Callable[[ModelRef, str], None],
    ) -> None:
        """`behaviours`: by the beginning of the digest; a model that is not named is good.

        `effect`: what is wrong before the camera at this time. `faces_per_s`: that pass where nothing is wrong.

        `answered`, `failed`: a model's evidence.
        """
        self._device, self._board, self._session = device, board, session
        self._behaviours, self._chance, self._now = behaviours, chance, now
        self._gauges, self._effect, self._faces_per_s = gauges, effect, faces_per_s
        self._answered, self._failed = answered, failed
        self._meter, self._shadow_meter, self._tracks = Meter(), ShadowMeter(), TrackMeter()
        self._start = now()
        self._windows = Windows(self._meter, device=device, site=device, now=self._start)
        self._shown = 0  # faces of this window
        self._mix = faces.site_mix(chance)
        self._runs: ModelManifest | None = None
        self._challenger: Challenger | None = None
        self._sequence = 0

    def activate(self, model: ModelManifest) -> None:
        """This model answers from now on."""
        self._runs = model

    def shadow(self, challenger: Challenger | None) -> None:
        """This model runs beside it from now on, or none."""
        self._challenger = challenger
        if challenger is None or self._runs is None:
            self._shadow_meter.end()
        else:
            self._shadow_meter.begin(self._runs.ref, challenger.model.manifest.ref, challenger.terms)

    def watch(self) -> None:
        """The faces that pass in the time since the last window, each looked at once."""
        seconds = max(0.0, self._now() - self._start)
        self._meter.count(DeviceCounter.FRAMES, round(seconds * fps(self._board)))
        expected = self._faces_per_s * seconds * self._effect(self._now()).faces
        self.look(max(0, round(self._chance.gauss(expected, expected**0.5))))

    def look(self, count: int) -> None:
        """So many faces pass, each looked at once."""
        effect = self._effect(self._now())
        for _ in range(count):
            runs, challenger = self._runs, self._challenger
            if runs is None:
                continue
            champion = runs.ref
            face = faces.draw(self._chance, self._mix, harder=effect.harder, neutral=effect.neutral)
            self._meter.count(DeviceCounter.FACES)
            self._shown += 1
            first = self._ask(champion, face)
            if first is None:
                self._meter.count(DeviceCounter.ERRORS)
                self._meter.count(DeviceCounter.ERRORS_MODEL)
                self._failed(champion, "drawn")
                continue
            self._answered(champion)
            self._meter.classified(first.label, first.confidence)
            self._meter.stage("invoke", first.seconds)
            threshold = runs.reference.sure_above
            sure = threshold is not None and first.confidence >= threshold
            # Each drawn face passes once and is called one thing, so each look is a track of its own.
            self._tracks.count(CountedTrack(champion, first.label, first.confidence, sure))
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
        now = self._now()
        gauges = self._gauges.read(now, self._effect(now), faces_per_s=self._faces_per_s, faces=self._shown)
        runs = None if self._runs is None else self._runs.ref
        body = self._windows.cut(now, runs, {}, gauges, self._shadow_meter.read())
        self._start, self._shown = now, 0
        self._sequence += 1
        key = (self._session, self._sequence)
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        fields["tracks"] = self._tracks.read()
        return Telemetry(**fields, session=self._session, sequence=self._sequence, oldest=key)

    def _ask(self, model: ModelRef, face: faces.Face) -> faces.Answer | None:
        behaviour = next(
            (how for digest, how in self._behaviours.items() if model.digest.startswith(digest)), Behaviour()
        )
        return faces.answer(behaviour, face, self._board, model.digest)
