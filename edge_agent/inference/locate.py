"""Where every known face is in this frame, at the least cost: motion gate, detector every k-th frame, follower between.

Works on a small grey copy of the frame; boxes are in that copy's pixels. What a face says is `recognize`'s.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.inference import detect_interval, tracks
from edge_agent.inference.detect_interval import Cadence
from edge_agent.inference.motion import MotionGate
from edge_agent.inference.settings import LocateSettings
from edge_agent.inference.template_tracker import Template, follow, template_of
from edge_agent.inference.tracks import Detected, Followed, SceneChanged, Track, Tracks
from edge_contract.errors import EdgewiseError
from edge_vision.faces import Face, FaceDetector
from edge_vision.picture import Pixels, central_square


@dataclass(frozen=True, slots=True)
class Located:
    """What was found in one frame."""

    faces: tuple[Track, ...]
    """Faces worth classifying, largest first."""
    known: frozenset[int]
    """Numbers of all tracks that still live; what is kept of others can go."""
    moved: bool
    """The frame differs from the last one that did."""
    detecting: float | None
    """Seconds the detector took; None where it did not run, or is due after the frame's faces were answered."""


class DetectorFailedError(EdgewiseError):
    """The face detector raised: nothing is known of the frame, and nothing of the model."""


class FaceLocator:
    """Follows the faces of one camera."""

    def __init__(
        self,
        detector: FaceDetector,
        settings: LocateSettings,
        clock: Callable[[], float],
        *,
        fps: float,
        continuous: bool = True,
    ) -> None:
        """`continuous` False: every frame is a scene of its own, searched anew, and every face found counts."""
        self._detector = detector
        self._settings = settings
        self._clock = clock
        self._continuous = continuous
        self._motion = MotionGate(settings.motion if continuous else 0.0)
        self._cadence = Cadence(interval=1.0 / fps)
        self._size: tuple[int, ...] = ()
        self._tracks = Tracks()
        self._templates: dict[int, Template] = {}
        self._frames_since = 0
        self._detected_at = -math.inf
        self._detect_next = True
        self._due = False

    def locate(self, small: Pixels, moment: float) -> Located:
        """The faces of this frame; `small` is grey [height, width], `moment` its time in the scene, seconds."""
        self._begin_scene(small)
        moved = self._motion.moved(small)
        self._frames_since += 1
        due = moved and self._frames_since >= self._cadence.every(self._settings.cadence)
        self._due = due or moment - self._detected_at >= self._settings.still_detect
        detecting = None
        if self._detect_next or (self._due and not self._tracks.confirmed):
            detecting = self._detect(small, moment)
        elif moved:
            self._follow(small)
        known = self._tracks.known
        faces = self._tracks.confirmed if self._continuous else known
        return Located(faces, frozenset(track.number for track in known), moved, detecting)

    def whole(self, small: Pixels, moment: float) -> Located:
        """The frame's central square as the one thing in it, for a model of whole pictures; nothing is searched."""
        self._begin_scene(small)
        moved = self._motion.moved(small)
        self._tracks = tracks.step(self._tracks, Detected((Face(central_square(small), 1.0),)))
        self._templates, self._detected_at = {}, moment
        self._detect_next, self._due = True, False  # a model of faces that takes over begins with a search
        known = self._tracks.known
        return Located(self._tracks.confirmed, frozenset(track.number for track in known), moved, None)

    def refresh(self, small: Pixels, moment: float) -> float | None:
        """Run the detector on the frame just located, if it is due; how long it took.

        Called after the frame's faces were answered: known faces are followed meanwhile, so no answer waits for it.
        """
        return self._detect(small, moment) if self._due else None

    def spent(self, *, interval: float, detecting: float | None, whole: float) -> None:
        """What the frame cost in all, seconds, and how long after the one before it was captured: sets the next k."""
        self._cadence = detect_interval.step(
            self._cadence, interval=interval, detect=detecting, rest=whole - (detecting or 0.0)
        )

    def _begin_scene(self, small: Pixels) -> None:
        """Forget the tracks where they say nothing of this frame: in another size their boxes lie elsewhere."""
        if self._continuous and small.shape == self._size:
            return
        self._size = small.shape
        self._tracks = tracks.step(self._tracks, SceneChanged())
        self._templates, self._detect_next = {}, True

    def _detect(self, small: Pixels, moment: float) -> float:
        self._detect_next = True  # and stays so if the detector fails
        began = self._clock()
        try:
            found = self._detector.detect(small)
        except Exception as error:
            raise DetectorFailedError(f"{self._detector.name} failed ({type(error).__name__}: {error})") from error
        self._tracks = tracks.step(self._tracks, Detected(found))
        self._detect_next = self._tracks.doubtful
        templates = ((track.number, template_of(small, track.box)) for track in self._tracks.confirmed)
        self._templates = {number: template for number, template in templates if template is not None}
        self._frames_since, self._detected_at, self._due = 0, moment, False
        return self._clock() - began

    def _follow(self, small: Pixels) -> None:
        followed = ((track, self._templates.get(track.number)) for track in self._tracks.confirmed)
        found = {
            track.number: box
            for track, template in followed
            if template is not None and (box := follow(small, template, track.box)) is not None
        }
        self._detect_next = len(found) < len(self._tracks.confirmed)
        self._tracks = tracks.step(self._tracks, Followed(found))
