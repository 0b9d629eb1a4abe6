"""`edgewise-agent look`: the model's predictions for a picture, a folder or a clip, without broker or camera.

Every frame is worked on, by the same pipeline that runs all day. A clip gives a line whenever the consensus of a face
changes; a picture one line a face.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.camera.source import Source
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import PipelineSettings
from edge_contract.messages import Stage
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector


@dataclass(slots=True)
class Summary:
    """What was worked on in all."""

    frames: int = 0
    faces: int = 0
    """Faces of all frames; a face in ten frames counts ten times."""
    errors: int = 0


def predict(
    source: Source,
    detector: FaceDetector,
    classifier: Classifier,
    settings: PipelineSettings,
    *,
    on_prediction: Callable[[PredictionEvent], None],
    on_error: Callable[[str], None],
) -> Summary:
    """Work through a file or folder whose settings say `pace="fast"`; `on_error` gets a sentence for a failed frame.

    Raises:
        SourceError: the source cannot be read.
    """
    observer = _Counting(on_prediction, on_error)
    chance = random.Random(0)  # noqa: S311 - a file is never waited for
    pipeline = Pipeline(source, detector, classifier, settings, clock=time.monotonic, observer=observer, chance=chance)
    pipeline.run(threading.Event())
    return observer.summary


def line(event: PredictionEvent) -> str:
    """One prediction for people: place in the clip, face, answer, box in shares of the frame."""
    left, top, width, height = event.box
    return (
        f"{event.moment:8.2f} s  face {event.track:<3d} {event.label:<10s} {event.confidence:4.0%}  "
        f"at {left:.2f},{top:.2f} size {width:.2f}x{height:.2f}"
    )


class _Counting:
    """A `PipelineObserver` that counts, and passes predictions and errors on."""

    def __init__(self, on_prediction: Callable[[PredictionEvent], None], on_error: Callable[[str], None]) -> None:
        self.summary = Summary()
        self._on_prediction = on_prediction
        self._on_error = on_error

    def stage(self, name: Stage, seconds: float) -> None:
        """Time does not matter here."""

    def frame(self, dropped_before: int) -> None:
        self.summary.frames += 1 + dropped_before

    def faces(self, count: int) -> None:
        self.summary.faces += count

    def classified(self, label: str, confidence: float) -> None:
        """The consensus is what is printed."""

    def prediction(self, event: PredictionEvent) -> None:
        self._on_prediction(event)

    def error(self, kind: str, detail: str) -> None:
        self.summary.errors += 1
        self._on_error(f"{kind}: {detail}")

    def reconnect(self) -> None:
        """A file does not reconnect."""
