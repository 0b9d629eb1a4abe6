"""Frame by frame from the mailbox to predictions, on one thread.

Locate the faces, recognize each, tell the observer. A frame that fails is counted and the next one is taken: the loop
ends only with its source or when told to. A new model takes over between two frames. Nothing here publishes, and
nothing here blocks but the wait for a frame. A model in shadow looks at what was answered when all that is done, and
so is the picture measured, of one frame in a second.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import cv2

from edge_agent.camera.capture import Capture
from edge_agent.camera.mailbox import Frame, Mailbox, Taken
from edge_agent.camera.source import Source, SourceError
from edge_agent.inference.comparable import incomparable
from edge_agent.inference.consensus import Announcement
from edge_agent.inference.events import (
    CountedTrack,
    CropObserver,
    FaceLook,
    ModelAnswer,
    ModelEvidence,
    PipelineObserver,
    PredictionEvent,
    Preview,
    SceneObserver,
    Shown,
    ShownFace,
)
from edge_agent.inference.locate import DetectorFailedError, FaceLocator, Located
from edge_agent.inference.recognize import Recognizer
from edge_agent.inference.sampling import Sampling
from edge_agent.inference.settings import ConsensusSettings, PipelineSettings
from edge_agent.inference.shadow import Answered, Shadow
from edge_agent.inference.tracks import Track
from edge_contract.manifest import ModelManifest
from edge_vision.classifier import Classifier, ModelFailedError
from edge_vision.crop import face_square
from edge_vision.faces import FaceDetector
from edge_vision.picture import Box, Pixels, central_square
from edge_vision.quality import quality_of, quality_of_tensor
from edge_vision.recognition import search_copy

_POLL: Final = 0.25
"""Longest wait for a frame, seconds, before the camera's deadlines and the stop signal are looked at again."""


class Pipeline:
    """One camera, one detector, one model at a time."""

    def __init__(
        self,
        source: Source,
        detector: FaceDetector,
        classifier: Classifier | None,
        settings: PipelineSettings,
        *,
        clock: Callable[[], float],
        observer: PipelineObserver,
        chance: random.Random,
        evidence: ModelEvidence | None = None,
        scene: SceneObserver | None = None,
        preview: Preview | None = None,
        crops: CropObserver | None = None,
    ) -> None:
        """`classifier` None: faces are found and counted until `swap` brings one. `clock`: seconds, only growing.

        `chance` jitters the waits before a lost camera is tried again.
        """
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._evidence = evidence
        self._scene = scene
        self._pictures, self._looks = Sampling(), Sampling()
        self._preview = preview
        self._crops = crops
        self._traits = source.traits
        self._mailbox = Mailbox()
        self._capture = Capture(
            source,
            self._mailbox,
            clock,
            chance,
            gray=classifier is None or _takes_gray(classifier),
            on_error=observer.error,
            on_reconnect=observer.reconnect,
        )
        traits = source.traits
        self._locator = FaceLocator(detector, settings.locate, clock, fps=traits.fps, continuous=traits.continuous)
        self._recognizer: Recognizer | None = None
        self._captured: float | None = None
        self._moment = 0.0
        self._swap = threading.Lock()
        self._next: Classifier | None = classifier
        self._shadow: Shadow | None = None

    def swap(self, classifier: Classifier) -> None:
        """Use this model from the next frame in its colours on; callable from any thread, loses no frame.

        Until then the model before it goes on: a frame that was decoded to grey tells a model of colours nothing true.
        """
        with self._swap:
            self._next = classifier
            self._capture.gray = _takes_gray(classifier)

    def shadow(self, shadow: Shadow | None) -> None:
        """Compare this model from the next frame on, or none any more; callable from any thread."""
        self._shadow = shadow

    def configure(self, settings: ConsensusSettings) -> None:
        """Form consensus by these settings from the next frame on; callable from any thread."""
        with self._swap:
            self._settings = replace(self._settings, consensus=settings)
            if self._recognizer is not None:
                self._recognizer.configure(settings)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set or the file ends; every frame captured is worked on or counted as dropped.

        Raises:
            SourceError: a file cannot be read. A camera is waited for instead.
        """
        cv2.setNumThreads(1)  # more threads cost more than they save on pictures of this size
        try:
            while not stop.is_set():
                self._capture.tend()
                ended = self._capture.ended  # asked before taking: the last frame lies in the mailbox by then
                taken = self._mailbox.take(0.0 if ended else _POLL)
                if taken is not None:
                    self._work_on(taken)
                elif ended:
                    break
        finally:
            self._capture.stop()
        left = self._mailbox.take(0.0)
        if left is not None:
            self._work_on(left)
        self._end_tracks()
        if self._capture.failure:
            raise SourceError(f"{self._traits.name} cannot be read: {self._capture.failure}")

    def _work_on(self, taken: Taken) -> None:
        """One frame, whatever it is: no frame ends the loop."""
        frame = taken.frame
        self._observer.frame(taken.dropped_before)
        self._observer.stage("capture", frame.decoding)
        self._take_over(frame)
        try:
            self._process(frame, self._interval(taken), self._shadow)
        except DetectorFailedError as error:
            self._observer.error("detector", str(error))
        except Exception as error:  # noqa: BLE001 - counted by name, and the next frame is taken
            self._observer.error("pipeline", f"{type(error).__name__}: {error}")

    def _take_over(self, frame: Frame) -> None:
        """Begin with the model that waits, if one does and can be shown this frame."""
        with self._swap:
            if self._next is None or (frame.gray and not _takes_gray(self._next)):
                return
            classifier, self._next = self._next, None
        self._end_tracks()
        self._recognizer = Recognizer(
            classifier, self._settings.consensus, self._clock, continuous=self._traits.continuous
        )

    def _end_tracks(self) -> None:
        """For the model that answered until now, every track is over."""
        if self._recognizer is not None:
            self._count(self._recognizer.forget_all_but(frozenset(), self._moment))
        if self._crops is not None:
            self._crops.only(frozenset())

    def _count(self, tracks: list[CountedTrack]) -> None:
        if self._scene is not None:
            for track in tracks:
                self._scene.counted(track)

    def _interval(self, taken: Taken) -> float:
        """Seconds between two frames of the camera, dropped ones counted; the nominal value for other sources."""
        before, self._captured = self._captured, taken.frame.captured
        if before is None or not self._traits.live:
            return 1.0 / self._traits.fps
        return (taken.frame.captured - before) / (taken.dropped_before + 1)

    def _process(self, frame: Frame, interval: float, shadow: Shadow | None) -> None:
        began = self._clock()
        copy = search_copy(frame.picture)
        around = "face" if self._recognizer is None else self._recognizer.manifest.crop.around
        locate = self._locator.whole if around == "frame" else self._locator.locate
        located = locate(copy.pixels, frame.moment)
        tracks = located.faces[: self._settings.max_faces]
        boxes = (central_square(frame.picture) if around == "frame" else copy.in_picture(track.box) for track in tracks)
        faces = list(zip(tracks, boxes, strict=True))
        self._moment = frame.moment
        self._observer.faces(len(faces))
        # A grey frame may yet be on its way to a model of colours when two models replace one another in between.
        recognizer, answered = self._recognizer, list[Answered]()
        if recognizer is not None and (not frame.gray or recognizer.manifest.input.color == "gray"):
            answered = self._recognize(recognizer, frame, faces, located, shadow)
        self._observer.stage("whole", self._clock() - frame.captured)
        if self._preview is not None and self._preview.watched:
            shown = (ShownFace(track.number, box, *self._label(track.number)) for track, box in faces)
            self._preview.show(frame.picture, tuple(shown))
        if self._scene is not None:
            self._scene.seen(None if around == "frame" else len(faces), frame.unchanged)
            if self._pictures.due(frame.moment):
                self._pictures.taken(frame.moment)
                self._scene.picture(quality_of(copy.pixels))
        refreshed = self._locator.refresh(copy.pixels, frame.moment)
        detecting = refreshed if located.detecting is None else located.detecting
        if detecting is not None:
            self._observer.stage("detect", detecting)
        whole = self._clock() - began + frame.decoding
        self._locator.spent(interval=interval, detecting=detecting, whole=whole)
        if shadow is not None and recognizer is not None:
            shadow.frame(frame.captured, interval if self._traits.live else None, located.known)
            if not incomparable(recognizer.manifest, shadow.manifest):
                champion = recognizer.manifest.ref
                shadow.compare(champion, frame.picture, answered, frame.moment, self._mailbox.waiting)

    def _recognize(
        self,
        recognizer: Recognizer,
        frame: Frame,
        faces: list[tuple[Track, Box]],
        located: Located,
        shadow: Shadow | None,
    ) -> list[Answered]:
        self._count(recognizer.forget_all_but(located.known, frame.moment))
        answered, meter = [], _unmeasured if shadow is None else shadow.meter
        # Of whole pictures `picture` says the same.
        measured = recognizer.manifest.crop.around == "face" and self._looks.due(frame.moment)
        sampled, crops = self._scene if measured else None, self._crops
        if crops is not None:
            crops.only(located.known)
        for track, box in faces:
            number = track.number
            if not recognizer.wants(number, moved=located.moved, moment=frame.moment):
                continue
            model = recognizer.manifest.ref
            try:
                seen = recognizer.recognize(number, frame.picture, box, frame.moment, meter)
            except ModelFailedError as error:
                self._observer.error("model", str(error))
                if self._evidence is not None:
                    self._evidence.model_failed(model, str(error))
                continue
            if self._evidence is not None:
                self._evidence.answered(model)
            self._observer.stage("preprocess", seen.cropping)
            self._observer.stage("invoke", seen.invoking)
            self._observer.classified(seen.label, seen.confidence)
            if seen.announcement is not None:
                self._observer.prediction(_event(seen.announcement, number, box, frame, recognizer.manifest))
            shown = None
            if crops is not None:
                shown = Shown(number, recognizer.shown.copy(), ModelAnswer(recognizer.manifest, seen.probabilities))
                crops.looked(shown, frame.moment)
            answered.append(Answered(number, box, seen.label, seen.confidence, seen.cost, shown))
            if sampled is not None:
                side = face_square(box, recognizer.manifest.crop).side
                sampled.face(FaceLook(quality_of_tensor(recognizer.shown), side, track.roll))
        if answered and sampled is not None:
            self._looks.taken(frame.moment)
        return answered

    def _label(self, track: int) -> tuple[str, float]:
        return self._recognizer.label(track) if self._recognizer is not None else ("", 0.0)


def _unmeasured() -> float:
    return 0.0


def _takes_gray(classifier: Classifier) -> bool:
    return classifier.manifest.input.color == "gray"


def _event(announcement: Announcement, track: int, box: Box, frame: Frame, manifest: ModelManifest) -> PredictionEvent:
    probabilities = tuple(min(1.0, float(value)) for value in announcement.probabilities)
    return PredictionEvent(
        track=track,
        label=manifest.labels[announcement.label],
        confidence=probabilities[announcement.label],
        probabilities=probabilities,
        box=_shares(box, frame.picture),
        captured=frame.captured,
        moment=frame.moment,
        model=manifest.ref,
    )


def _shares(box: Box, picture: Pixels) -> tuple[float, float, float, float]:
    """The part of the box inside the picture, as shares of its width and height."""
    height, width = picture.shape[:2]
    left, right = (min(1.0, max(0.0, side / width)) for side in (box.left, box.left + box.width))
    top, bottom = (min(1.0, max(0.0, side / height)) for side in (box.top, box.top + box.height))
    return left, top, right - left, bottom - top
