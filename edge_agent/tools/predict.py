"""`edgewise-agent look`: the model's predictions for a picture, a folder or a clip, without broker or camera.

Every frame is worked on, by the same pipeline that runs all day. A clip gives a line whenever the consensus of a face
changes; a picture one line a face, and one that says so when it has none.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.camera.files import ImagesSource
from edge_agent.camera.source import Source
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import PipelineSettings
from edge_contract.errors import EdgewiseError
from edge_contract.messages import Stage
from edge_contract.visible import visible
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector


@dataclass(slots=True)
class Summary:
    """What was worked on in all."""

    frames: int = 0
    faces: int = 0
    """Faces of all frames; a face in ten frames counts ten times."""
    errors: int = 0


def look(
    source: Source,
    detector: FaceDetector,
    classifier: Classifier,
    settings: PipelineSettings,
    *,
    on_line: Callable[[str], None],
    on_error: Callable[[str], None],
) -> Summary:
    """Work through pictures one by one, or through a clip, and give every answer as a line.

    Raises:
        SourceError: the clip cannot be read.
        EdgewiseError: not one frame could be read.
    """
    total = Summary()
    if isinstance(source, ImagesSource):
        single = replace(source.settings, loop=False)
        for path in source.images:
            events: list[PredictionEvent] = []
            summary = predict(
                ImagesSource(path, single), detector, classifier, settings,
                on_prediction=events.append, on_error=on_error,
            )  # fmt: skip
            lines = [answer(event) for event in events]
            if summary.frames and not summary.errors and not lines:
                lines.append("no face found")
            for text in lines:
                on_line(f"{visible(path.name)}  {text}")
            total.frames += summary.frames
            total.faces += summary.faces
            total.errors += summary.errors
    else:
        total = predict(
            source, detector, classifier, settings, on_prediction=lambda event: on_line(line(event)), on_error=on_error
        )
    if not total.frames:
        raise EdgewiseError(f"nothing of {source.traits.name} could be read", remedy="give it pictures or a clip")
    return total


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
    """One prediction of a clip for people: place in it, face, answer, box in shares of the frame."""
    return f"{event.moment:8.2f} s  {answer(event)}"


def answer(event: PredictionEvent) -> str:
    """One prediction for people: face, answer, box in shares of the frame."""
    left, top, width, height = event.box
    return (
        f"face {event.track:<3d} {event.label:<10s} {event.confidence:4.0%}  "
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
