"""Which answer a face gets over time: the model's, weighed by consensus. A new model gets a new `Recognizer`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.inference import consensus, track_count
from edge_agent.inference.consensus import Announcement, Consensus
from edge_agent.inference.events import CountedTrack
from edge_agent.inference.settings import ConsensusSettings
from edge_agent.inference.track_count import Tally
from edge_vision.classifier import Classifier, Probabilities
from edge_vision.picture import Box, Pixels
from edge_vision.recognition import answer


@dataclass(frozen=True, slots=True)
class Recognition:
    """The answer to one face of one frame."""

    label: str
    """The model's own answer, before consensus."""
    confidence: float
    cropping: float
    """Seconds from picture to tensor."""
    invoking: float
    """Seconds from tensor to probabilities."""
    announcement: Announcement | None
    """What to publish, if anything."""
    cost: float
    """What both took, by the clock of whoever asked for it; 0 when nobody did."""
    probabilities: Probabilities
    """The model's own answer in full, float32 [labels]."""


class Recognizer:
    """A classifier and the consensus of its answers to each face so far."""

    def __init__(
        self,
        classifier: Classifier,
        settings: ConsensusSettings,
        clock: Callable[[], float],
        *,
        continuous: bool = True,
    ) -> None:
        """`continuous` False: each face is seen once, so its one answer counts whatever it is."""
        self.manifest = classifier.manifest
        self._classifier = classifier
        self._continuous = continuous
        self.configure(settings)
        self._clock = clock
        self._faces: dict[int, Consensus] = {}
        self._tally, self._count_at = Tally(), math.inf

    @property
    def shown(self) -> Pixels:
        """What the model was shown last: uint8 [1, height, width, channels]."""
        return self._classifier.input

    def configure(self, settings: ConsensusSettings) -> None:
        """Weigh by these settings from now on; what was seen so far is kept."""
        self._settings = settings if self._continuous else replace(settings, window=0.0, evidence=1, threshold=0.0)

    def forget_all_but(self, known: frozenset[int], moment: float) -> list[CountedTrack]:
        """Drop the consensus of faces that are gone; which tracks to count now, of those and of the others.

        `moment`: of the frame whose tracks are `known`, in its scene, seconds.
        """
        gone = not known.issuperset(self._faces)
        if not gone and moment < self._count_at:
            return []
        labelled = {number for number, state in self._faces.items() if state.label is not None}
        endless = self.manifest.crop.around == "frame"
        self._tally, numbers = track_count.step(
            self._tally, labelled=labelled, known=known, moment=moment, endless=endless
        )
        self._count_at = self._tally.next
        counted = [self._counted(number) for number in numbers]
        if gone:
            self._faces = {number: state for number, state in self._faces.items() if number in known}
        return counted

    def wants(self, track: int, *, moved: bool, moment: float) -> bool:
        """Whether another look is worth its cost: at a settled face only now and then, and not while nothing moves."""
        state = self._faces.get(track)
        if state is None or not state.settled or moment - state.said >= self._settings.repeat:
            return True
        return moved and moment - state.last >= self._settings.relook

    def recognize(
        self, track: int, picture: Pixels, box: Box, moment: float, meter: Callable[[], float] = lambda: 0.0
    ) -> Recognition:
        """Classify the face at `box` of the picture, and weigh it with what was seen before. `meter`: a second clock.

        Raises:
            UsageError: the box is no box.
            ModelFailedError: the model gave no answer.
        """
        began = meter()
        probabilities, cropping, invoking = answer(self._classifier, picture, box, self._clock)
        cost = meter() - began
        best = int(probabilities.argmax())
        before = self._faces.get(track, Consensus())
        self._faces[track], announcement = consensus.step(before, probabilities, moment, self._settings)
        if announcement is not None and before.label is None:
            self._count_at = -math.inf  # the next frame takes it into the tally
        label, confidence = self.manifest.labels[best], float(probabilities[best])
        return Recognition(label, confidence, cropping, invoking, announcement, cost, probabilities)

    def label(self, track: int) -> tuple[str, float]:
        """The face's published label and its present probability; an empty label before the first."""
        state = self._faces.get(track)
        if state is None or state.label is None or state.mean is None:
            return "", 0.0
        return self.manifest.labels[state.label], float(state.mean[state.label])

    def _counted(self, track: int) -> CountedTrack:
        label, probability = self.label(track)
        confidence = min(1.0, probability)
        sure = self.manifest.reference.sure_above
        return CountedTrack(self.manifest.ref, label, confidence, sure is not None and confidence >= sure)
