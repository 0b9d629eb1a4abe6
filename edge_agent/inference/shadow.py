"""A second model on the faces that the first one answered: it only counts, and only when there is time.

The one that answers, the champion, is never in its way: the challenger looks after a frame's work is done and handed
over, at the same box of the same picture, and whatever it raises ends here. A face is looked at once in a while: what
it shows a moment later is no news. Where the board has no time, a look that is due waits for a later frame of the same
face, for as long as until the one after it would be due; then it counts as skipped.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.inference.events import Compared, CropObserver, ModelAnswer, ModelEvidence, ShadowObserver, Shown
from edge_agent.inference.spare_time import SpareTime
from edge_contract.messages import ModelRef
from edge_vision.classifier import Classifier
from edge_vision.picture import Box, Pixels
from edge_vision.recognition import answer

_COARSEST_S: Final = 0.0001
"""Step of a clock that tells what one look costs; some kernels count a thread's time in ticks of milliseconds."""
_WARM_UP: Final = 3  # looks at nothing before the first that counts: the first ones fault pages in


@dataclass(frozen=True, slots=True)
class Answered:
    """The champion's answer to one face of one frame."""

    track: int
    box: Box
    label: str
    confidence: float
    seconds: float
    """From crop to probabilities, by the challenger's `meter`."""
    shown: Shown | None = None
    """What it was shown; only where crops are sampled."""


class Shadow:
    """One challenger; used by one thread after another."""

    def __init__(
        self,
        classifier: Classifier,
        spacing: float,
        clock: Callable[[], float],
        observer: ShadowObserver,
        evidence: ModelEvidence,
        crops: CropObserver | None = None,
    ) -> None:
        """Run it on nothing a few times. `spacing`: seconds between two looks at one face.

        `crops`: told of faces that both name otherwise.

        Raises:
            ModelFailedError: it cannot be run.
        """
        self.manifest = classifier.manifest
        self._classifier, self._spacing, self._clock = classifier, spacing, clock
        self._observer, self._evidence, self._crops = observer, evidence, crops
        self._due: dict[int, float] = {}  # track → the moment from which a look at it is due
        self._owed: set[int] = set()  # tracks of which a look was due and has not been had
        cost = 0.0
        for _ in range(_WARM_UP):
            began = clock()
            classifier.raw(classifier.input)
            cost = clock() - began
        self._time = SpareTime(cost, clock())
        self.meter = fine_clock(time.thread_time, clock)
        """Measures what a look costs, of either model: this thread's processor time, for by the wall clock one look in
        five of a busy board took half as long again as the other with one and the same model."""

    def frame(self, captured: float, interval: float | None, known: frozenset[int]) -> None:
        """A frame is being worked on; `captured` and `interval`: see `SpareTime.frame`. `known`: its tracks."""
        self._time.frame(captured, interval)
        if not known.issuperset(self._due):
            self._skipped(len(self._owed - known))
            self._owed &= known
            self._due = {track: due for track, due in self._due.items() if track in known}

    def compare(
        self,
        champion: ModelRef,
        picture: Pixels,
        faces: Sequence[Answered],
        moment: float,
        waiting: Callable[[], bool],
    ) -> None:
        """Look at those of a frame's answered faces that are due, while there is time; raises nothing.

        `moment`: of the frame in its scene, seconds. `waiting`: whether the next frame is here already.
        """
        due = [face for face in faces if moment >= self._due.setdefault(face.track, moment)]
        for face in sorted(due, key=lambda face: self._due[face.track]):
            late, began = waiting(), self._clock()
            if self._time.allows(began, waiting=late):
                self._look(champion, picture, face)
                self._time.spent(began, self._clock(), waiting=late)
                self._owed.discard(face.track)
                self._due[face.track] = moment + self._spacing
            elif moment - self._due[face.track] >= self._spacing:
                self._skipped(1)
                self._owed.discard(face.track)
                self._due[face.track] = moment
            else:
                self._owed.add(face.track)

    def _look(self, champion: ModelRef, picture: Pixels, face: Answered) -> None:
        challenger = self.manifest.ref
        try:
            began = self.meter()
            seen = answer(self._classifier, picture, face.box, self._clock)
            seconds = self.meter() - began
        except Exception as error:  # noqa: BLE001  # whatever it is, the frame was answered
            self._observer.shadow_failed(champion, challenger)
            self._evidence.model_failed(challenger, str(error) or type(error).__name__)
            return
        best = int(seen.probabilities.argmax())
        compared = Compared(
            champion=champion,
            challenger=challenger,
            champion_label=face.label,
            challenger_label=self.manifest.labels[best],
            champion_confidence=face.confidence,
            challenger_confidence=float(seen.probabilities[best]),
            champion_seconds=face.seconds,
            challenger_seconds=seconds,
        )
        self._observer.compared(compared)
        self._evidence.answered(challenger)
        if self._crops is not None and face.shown is not None and compared.challenger_label != face.label:
            self._crops.differed(face.shown, ModelAnswer(self.manifest, seen.probabilities))

    def _skipped(self, count: int) -> None:
        if count:
            self._observer.shadow_skipped(self.manifest.ref, count)


def fine_clock(preferred: Callable[[], float], other: Callable[[], float]) -> Callable[[], float]:
    """`preferred` where it goes by small steps, else `other`. Busy for some of its steps."""
    first = preferred()
    while (then := preferred()) <= first:
        pass
    return preferred if then - first < _COARSEST_S else other
