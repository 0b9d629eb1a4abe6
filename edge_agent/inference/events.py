"""What the pipeline reports, and to whom.

`PipelineObserver` gets counts, durations and predictions: nothing an image would fit in. `SceneObserver` gets what is
before the camera, in numbers; `ModelEvidence` what a model itself did, `ShadowObserver` how two of them compare.
Pictures go to a `Preview`, which never leaves this machine, and to a `CropObserver`, which is there only where a
consent is stated in the settings.
"""

from dataclasses import dataclass
from typing import Protocol

from edge_contract.manifest import ModelManifest
from edge_contract.messages import ModelRef, Stage
from edge_contract.metrics import ErrorKind
from edge_vision.picture import Box, Pixels
from edge_vision.probabilities import Probabilities
from edge_vision.quality import Quality


@dataclass(frozen=True, slots=True)
class PredictionEvent:
    """The consensus of one face track: new, changed, or repeated after a while."""

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
    """Counts what happens, on the pipeline's thread. What it raises ends the pipeline: these methods must not fail."""

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

    def error(self, kind: ErrorKind, detail: str) -> None:
        """Something failed and the pipeline goes on."""

    def reconnect(self) -> None:
        """The camera was lost; another connection will be tried."""


@dataclass(frozen=True, slots=True)
class FaceLook:
    """One face as the model was shown it."""

    quality: Quality
    """Of the model's input, in grey."""
    side: int
    """Of the square that was cut out, pixels of the picture."""
    roll: float | None
    """How far the face leans to the side, degrees; see `edge_vision.faces.Face`."""


@dataclass(frozen=True, slots=True)
class CountedTrack:
    """One face track, counted once for one model; see `track_count`."""

    model: ModelRef
    label: str
    """Of its consensus."""
    confidence: float
    """Consensus probability of `label`, 0 to 1."""
    sure: bool
    """It reaches the manifest's `reference.sure_above`."""


class SceneObserver(Protocol):
    """Adds up what is before the camera, on the pipeline's thread; as for the observer, these must not fail."""

    def seen(self, faces: int | None, unchanged: float | None) -> None:
        """A frame with so many faces, None where nothing is searched. `unchanged`: see `Frame`."""

    def picture(self, quality: Quality) -> None:
        """Of a sample of frames: the small grey copy that faces are searched in."""

    def face(self, look: FaceLook) -> None:
        """Of a sample of those that were answered."""

    def counted(self, track: CountedTrack) -> None:
        """A face track is over, or has lasted."""


class ModelEvidence(Protocol):
    """Evidence for or against one model, on the pipeline's thread; as for the observer, these methods must not fail.

    Frames without a face, and failures of camera or detector, are evidence of nothing and are not told here.
    """

    def answered(self, model: ModelRef) -> None:
        """The model answered one face."""

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """The model was run on one face and gave no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two models on one face of one frame."""

    champion: ModelRef
    """The one that answers."""
    challenger: ModelRef
    champion_label: str
    challenger_label: str
    champion_confidence: float
    """Top probability, 0 to 1."""
    challenger_confidence: float
    champion_seconds: float
    """From crop to probabilities, of the processor where that is counted finely."""
    challenger_seconds: float


class ShadowObserver(Protocol):
    """Counts how a model in shadow compares, on the pipeline's thread; as for the observer, these must not fail."""

    def compared(self, look: Compared) -> None:
        """Both answered."""

    def shadow_failed(self, champion: ModelRef, challenger: ModelRef) -> None:
        """The champion answered and the challenger gave no answer."""

    def shadow_skipped(self, challenger: ModelRef, count: int) -> None:
        """So many looks were due and there was no time for them."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelAnswer:
    """What one model says of one look."""

    manifest: ModelManifest
    probabilities: Probabilities
    """float32 [labels], in the manifest's order."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One look at one face: what the model that answers was shown, and what it said."""

    track: int
    pixels: Pixels
    """Its very input, uint8 [1, height, width, channels], and nobody writes into it: grey, or RGB."""
    answer: ModelAnswer


class CropObserver(Protocol):
    """Gets what the model is shown, on the pipeline's thread; as for the observer, these methods must not fail."""

    def looked(self, shown: Shown, moment: float) -> None:
        """One face of one frame was classified. `moment`: of the frame in its scene, seconds."""

    def differed(self, shown: Shown, other: ModelAnswer) -> None:
        """A model in shadow was shown the same face, after `looked`, and named another label."""

    def only(self, known: frozenset[int]) -> None:
        """These are the tracks that live; the others are over."""


class Preview(Protocol):
    """The live picture for people on this machine."""

    @property
    def watched(self) -> bool:
        """False saves the work of showing."""

    def show(self, picture: Pixels, faces: tuple[ShownFace, ...]) -> None:
        """A frame after it was worked on; the picture must be copied before this returns if it is kept."""
