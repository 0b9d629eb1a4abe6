"""What the pipeline tells the rest of the agent, and to whom.

`PipelineObserver` hears counts, durations and predictions: nothing an image would fit in. Pictures go to a `Preview`
only, which never leaves this machine.
"""

from dataclasses import dataclass
from typing import Protocol

from edge_contract.messages import ModelRef, Stage
from edge_vision.picture import Box, Pixels


@dataclass(frozen=True, slots=True)
class PredictionEvent:
    """The consensus of one face track: new, changed, or said again after a while."""

    track: int
    """Number of the face track, growing from 1 within a run."""
    label: str
    confidence: float
    """Consensus probability of `label`, 0 to 1."""
    probabilities: tuple[float, ...]
    """Consensus probabilities in the order of the model's labels."""
    box: tuple[float, float, float, float]
    """Left, top, width, height of the face as shares of the frame's width and height, each clipped to 0..1."""
    captured: float
    """When the frame was in memory, seconds of the pipeline's clock."""
    moment: float
    """When it was in the scene: as `captured` for a camera, the place in the clip for a file played fast; seconds."""
    model: ModelRef


@dataclass(frozen=True, slots=True)
class ShownFace:
    """One face of a previewed frame."""

    track: int
    box: Box
    label: str
    """Empty before the first consensus."""
    confidence: float


class PipelineObserver(Protocol):
    """Hears what happens, on the pipeline's thread. What it raises ends the pipeline: these methods must not fail."""

    def stage(self, name: Stage, seconds: float) -> None:
        """A stage of one frame took this long; `whole` is from frame in memory to its predictions handed over."""

    def frame(self, dropped_before: int) -> None:
        """A frame is being worked on; `dropped_before` newer ones replaced since the last."""

    def faces(self, count: int) -> None:
        """This many faces are being followed in the frame."""

    def classified(self, label: str, confidence: float) -> None:
        """One face of one frame was classified, before consensus."""

    def prediction(self, event: PredictionEvent) -> None:
        """What to publish."""

    def error(self, kind: str, detail: str) -> None:
        """Something failed and the pipeline goes on; `kind` is a short name fit for a metric's label."""

    def reconnect(self) -> None:
        """The camera was lost; another connection will be tried."""


class Preview(Protocol):
    """Somebody on this machine looking over the camera's shoulder."""

    @property
    def watched(self) -> bool:
        """False saves the work of showing."""

    def show(self, picture: Pixels, faces: tuple[ShownFace, ...]) -> None:
        """A frame after it was worked on; the picture must be copied before this returns if it is kept."""
