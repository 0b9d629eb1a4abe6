"""One thread's interpreters and detector: from tensors or a photograph to answers, as on the device."""

import time
from typing import NamedTuple

import numpy as np

from edge_contract.manifest import ModelManifest
from edge_contract.messages import Stage
from edge_vision import recognition
from edge_vision.classifier import Classifier, Probabilities
from edge_vision.faces import FaceDetector
from edge_vision.picture import Box, Pixels
from edge_vision.probabilities import probabilities


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
    stages: list[tuple[Stage, float]]
    """What it took, in seconds."""


class Engine:
    """Not thread-safe: one thread owns it."""

    def __init__(self, classifier: Classifier, detector: FaceDetector | None) -> None:
        """Without a detector it answers tensors alone."""
        self._classifier, self._detector = classifier, detector
        self.manifest: ModelManifest = classifier.manifest

    def classify(self, tensors: Pixels) -> tuple[Probabilities, float]:
        """Probability of each label: float32 [n, labels]; and the seconds that each tensor took.

        `tensors`: uint8 [n, height, width, channels], contiguous, n at least 1.

        Raises:
            ModelFailedError: the model gave no answer to one of them; none is given then.
        """
        began, raw = time.perf_counter(), self._classifier.raw
        count = len(tensors)
        # One by one: a batch takes as long (docs/adr/0023).
        answers = raw(tensors) if count == 1 else np.concatenate([raw(tensors[at : at + 1]) for at in range(count)])
        took = (time.perf_counter() - began) / count
        return probabilities(answers, self.manifest), took

    def look(self, data: bytes) -> Photograph:
        """Every face of an encoded picture, and what the model says of each.

        Raises:
            UsageError: the picture is damaged.
            ModelFailedError: the model gave no answer to one of the faces.
            ValueError: there is no detector here.
        """
        if self._detector is None:
            raise ValueError("this engine does not look at photographs")
        clock = time.perf_counter
        began = clock()
        picture = recognition.decoded(data, self.manifest)
        decoded = clock()
        boxes = recognition.find(picture, self._detector, self.manifest.crop)
        stages: list[tuple[Stage, float]] = [("capture", decoded - began), ("detect", clock() - decoded)]
        found = []
        for box in boxes:
            answer = recognition.answer(self._classifier, picture, box)
            stages += [("preprocess", answer.cropping), ("invoke", answer.invoking)]
            found.append(Found(box, answer.probabilities))
        height, width = picture.shape[:2]
        return Photograph(width, height, found, stages)
