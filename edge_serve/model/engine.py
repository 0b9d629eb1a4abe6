"""One thread's interpreter and detector: from tensors or a photograph to answers, as on the device.

What was measured meanwhile is kept in `observed` until it is taken away: the thread that counts is another one.
"""

import time
from typing import Final, NamedTuple

import numpy as np

from edge_contract.manifest import ModelManifest
from edge_contract.messages import Stage
from edge_vision import recognition
from edge_vision.classifier import Classifier, Probabilities
from edge_vision.faces import FaceDetector
from edge_vision.picture import Box, Pixels
from edge_vision.probabilities import probabilities


class ElsewhereError(Exception):
    """This engine has no detector: the request is for one that has."""


class Found(NamedTuple):
    """One face of a photograph, or its central square where the model looks at whole pictures."""

    box: Box
    """In pixels of the picture."""
    probabilities: Probabilities
    """float32 [labels]"""


class Photograph(NamedTuple):
    """What was seen in one photograph."""

    width: int
    height: int
    found: list[Found]
    """The largest face first."""


class Observed(NamedTuple):
    """What one request cost and said."""

    stages: list[tuple[Stage, float]]
    """Seconds."""
    answers: list[tuple[int, float]]
    """The winning label's index and its probability."""
    frames: int
    faces: int


NOTHING: Final = Observed([], [], 0, 0)


class Engine:
    """Not thread-safe: one thread owns it."""

    def __init__(self, classifier: Classifier, detector: FaceDetector | None) -> None:
        """Without a detector it answers tensors alone."""
        self._classifier, self._detector = classifier, detector
        self.manifest: ModelManifest = classifier.manifest
        self.observed = NOTHING

    def classify(self, tensors: Pixels) -> Probabilities:
        """Probability of each label: float32 [n, labels].

        `tensors`: uint8 [n, height, width, channels], contiguous.

        Raises:
            ModelFailedError: the model gave no answer to one of them; none is given then.
        """
        clock, raw = time.perf_counter, self._classifier.raw
        answers, stages = [], self.observed.stages
        for at in range(len(tensors)):
            began = clock()
            answers.append(raw(tensors[at : at + 1]))
            stages.append(("invoke", clock() - began))
        answered = probabilities(answers[0] if len(answers) == 1 else np.concatenate(answers), self.manifest)
        best = answered.argmax(axis=-1)
        said = self.observed.answers
        said += [(int(label), float(row[label])) for label, row in zip(best, answered, strict=True)]
        self._count(frames=len(tensors), faces=len(tensors))
        return answered

    def look(self, data: bytes) -> Photograph:
        """Every face of an encoded picture, and what the model says of each.

        Raises:
            ElsewhereError: there is no detector here.
            UsageError: the picture is damaged.
            ModelFailedError: the model gave no answer to one of the faces.
        """
        if self._detector is None:
            raise ElsewhereError
        clock, stages = time.perf_counter, self.observed.stages
        began = clock()
        picture = recognition.decoded(data, self.manifest)
        decoded = clock()
        boxes = recognition.find(picture, self._detector, self.manifest.crop)
        stages += [("capture", decoded - began), ("detect", clock() - decoded)]
        found = []
        for box in boxes:
            answer = recognition.answer(self._classifier, picture, box)
            stages += [("preprocess", answer.cropping), ("invoke", answer.invoking)]
            best = int(answer.probabilities.argmax())
            self.observed.answers.append((best, float(answer.probabilities[best])))
            found.append(Found(box, answer.probabilities))
        self._count(frames=1, faces=len(found))
        height, width = picture.shape[:2]
        return Photograph(width, height, found)

    def begin(self) -> None:
        """A request begins: nothing was observed of it."""
        self.observed = Observed([], [], 0, 0)

    def _count(self, *, frames: int, faces: int) -> None:
        seen = self.observed
        self.observed = seen._replace(frames=seen.frames + frames, faces=seen.faces + faces)
