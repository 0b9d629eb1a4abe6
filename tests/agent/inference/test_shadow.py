"""A model in shadow: what it looks at and when, what it counts, and that the champion never notices."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.comparable import incomparable
from edge_agent.inference.events import Compared
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.shadow import Answered, Shadow, fine_clock
from edge_agent.inference.spare_time import SpareTime
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import FaceCrop
from edge_contract.messages import ModelRef
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier, ModelFailedError
from edge_vision.faces import FaceDetector, HaarDetector
from edge_vision.picture import Box, Pixels
from tests.agent.inference.test_pipeline import EAGER, Everywhere, Notes
from tests.agent.scenes import moving_face, write_clip

PICTURE = np.random.default_rng(1).integers(0, 256, (240, 320), np.uint8)
CHAMPION = ModelRef(name="tiny", release=9, digest="9" * 64)


class Tally:
    """A `ShadowObserver` and `ModelEvidence` that writes down."""

    def __init__(self) -> None:
        self.looks: list[Compared] = []
        self.failures = self.skipped = self.answers = 0
        self.reasons: list[str] = []

    def compared(self, look: Compared) -> None:
        self.looks.append(look)

    def shadow_failed(self, champion: ModelRef, challenger: ModelRef) -> None:  # noqa: ARG002
        self.failures += 1

    def shadow_skipped(self, challenger: ModelRef, count: int) -> None:  # noqa: ARG002
        self.skipped += count

    def answered(self, model: ModelRef) -> None:  # noqa: ARG002
        self.answers += 1

    def model_failed(self, model: ModelRef, reason: str) -> None:  # noqa: ARG002
        self.reasons.append(reason)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


class Failing(Classifier):
    """A model that stops answering once it is in use."""

    raises: Exception | None = None

    def classify(self, tensor: Pixels) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        if self.raises is not None:
            raise self.raises
        return super().classify(tensor)


class NoNumber(Classifier):
    """A model that answers NaN."""

    def raw(self, tensor: Pixels) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return np.full_like(super().raw(tensor), np.nan, np.float32)


def challenger(tiny: ModelPackage, kind: type[Classifier] = Classifier, **manifest: object) -> Classifier:
    return kind(tiny.model, replace(tiny.manifest, **manifest))


def shadow(
    classifier: Classifier, tally: Tally, spacing: float = 10.0, clock: Callable[[], float] | None = None
) -> Shadow:
    return Shadow(classifier, spacing, clock or Clock(), tally, tally)


def face(track: int) -> Answered:
    return Answered(track, Box(100, 60, 80, 80), "happy", 0.5, 0.001)


class Frames:
    """Frames of one shadow, a thirtieth of a second apart in a scene."""

    def __init__(self, under_test: Shadow, *, live: bool = False) -> None:
        self.shadow, self.moment, self.live = under_test, 0.0, live
        if live:
            self.shadow._time = SpareTime(1e6, 100.0)  # so costly that nothing is ever saved for it

    def show(self, *tracks: int, after: float = 1 / 30, known: set[int] | None = None, late: bool = False) -> None:
        self.moment += after
        seen = frozenset(tracks if known is None else known)
        self.shadow.frame(100.0 + self.moment, 1 / 30 if self.live else None, seen)
        faces = [face(track) for track in tracks]
        self.shadow.compare(CHAMPION, PICTURE, faces, self.moment, lambda: late)


def test_a_face_is_looked_at_at_once_and_then_once_in_its_spacing(tiny: ModelPackage) -> None:
    tally = Tally()
    frames = Frames(shadow(challenger(tiny), tally, spacing=1.0))
    for _ in range(46):
        frames.show(1)
    assert len(tally.looks) == 2
    frames.show(1, 2)
    assert len(tally.looks) == 3  # the second face is new
    assert tally.skipped == 0
    assert tally.answers == 3


def test_both_answers_of_a_look_are_told(tiny: ModelPackage) -> None:
    tally = Tally()
    Frames(shadow(challenger(tiny), tally)).show(1)
    (look,) = tally.looks
    assert (look.champion, look.champion_label, look.champion_confidence) == (CHAMPION, "happy", 0.5)
    assert look.challenger == tiny.manifest.ref
    assert look.challenger_label in tiny.manifest.labels
    assert 0 <= look.challenger_confidence <= 1
    assert look.challenger_seconds > 0


def test_a_look_without_time_waits_for_a_later_frame_and_is_skipped_once_when_its_time_is_over(
    tiny: ModelPackage,
) -> None:
    tally = Tally()
    frames = Frames(shadow(challenger(tiny), tally, spacing=1.0), live=True)
    for _ in range(20):
        frames.show(1, late=True)
    assert (len(tally.looks), tally.skipped) == (0, 0)  # no time yet; the face is still here
    for _ in range(20):
        frames.show(1, late=True)
    assert (len(tally.looks), tally.skipped) == (0, 1)


def test_a_face_that_goes_while_its_look_waits_is_skipped(tiny: ModelPackage) -> None:
    tally = Tally()
    frames = Frames(shadow(challenger(tiny), tally), live=True)
    frames.show(1, 2, late=True)
    frames.show(2, late=True)
    assert tally.skipped == 1
    frames.show(known=set())
    assert tally.skipped == 2


def test_with_no_spacing_every_answered_face_is_due_and_skipped_at_once(tiny: ModelPackage) -> None:
    tally = Tally()
    frames = Frames(shadow(challenger(tiny), tally, spacing=0.0), live=True)
    for _ in range(5):
        frames.show(1, late=True)
    assert tally.skipped == 5
    waiting = Frames(shadow(challenger(tiny), tally := Tally(), spacing=0.0))
    for _ in range(5):
        waiting.show(1)
    assert len(tally.looks) == 5


@settings(max_examples=30)
@given(
    frames=st.lists(
        st.tuples(st.sets(st.integers(1, 4)), st.booleans(), st.floats(0, 3), st.floats(0, 0.3)), max_size=60
    )
)
def test_a_face_that_was_due_is_looked_at_or_skipped_and_nothing_of_one_that_is_gone_is_kept(
    tiny: ModelPackage, frames: list[tuple[set[int], bool, float, float]]
) -> None:
    tally, clock = Tally(), Clock()
    under_test = shadow(challenger(tiny), tally, spacing=1.0, clock=clock)
    shown = Frames(under_test)
    shown.live = True
    for tracks, late, after, work in frames:
        clock.now += work
        shown.show(*tracks, after=after, late=late)
    shown.show(known=set())
    assert not under_test._due
    assert not under_test._owed
    assert (len(tally.looks) + tally.skipped > 0) == any(tracks for tracks, *_ in frames)
    assert len(tally.looks) + tally.skipped <= sum(len(tracks) for tracks, *_ in frames)


@pytest.mark.parametrize(
    "error",
    [
        ModelFailedError("it cannot be run"),
        EdgewiseError("anything"),
        RuntimeError("boom"),
        MemoryError(),
        cv2.error("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_challenger_raises_is_a_failure_of_its_own(tiny: ModelPackage, error: Exception) -> None:
    tally, classifier = Tally(), challenger(tiny, Failing)
    frames = Frames(shadow(classifier, tally, spacing=0.0))
    assert isinstance(classifier, Failing)
    classifier.raises = error
    frames.show(1)
    classifier.raises = None
    frames.show(1)
    assert (tally.failures, len(tally.looks), tally.skipped) == (1, 1, 0)
    assert tally.reasons[0]


def test_an_answer_of_no_numbers_is_a_failure(tiny: ModelPackage) -> None:
    tally = Tally()
    Frames(shadow(challenger(tiny, NoNumber), tally)).show(1)
    assert (tally.failures, tally.looks) == (1, [])
    assert "no number" in tally.reasons[0]


def test_a_crop_that_the_challenger_alone_wants_and_cannot_have_is_its_failure(tiny: ModelPackage) -> None:
    tally = Tally()
    Frames(shadow(challenger(tiny, crop=FaceCrop(margin=4.0)), tally)).show(1)
    assert tally.failures + len(tally.looks) == 1


def test_which_pairs_cannot_be_compared(tiny: ModelPackage) -> None:
    gray, colours = tiny.manifest, replace(tiny.manifest, input=replace(tiny.manifest.input, color="rgb"))
    whole = replace(gray, crop=replace(gray.crop, around="frame"))
    assert incomparable(gray, gray) == incomparable(colours, colours) == incomparable(colours, gray) == ""
    assert "takes colours" in incomparable(gray, colours)
    assert "each face" in incomparable(gray, whole)
    assert "each frame" in incomparable(whole, gray)


class Interrupted(Classifier):
    """A model in whose look the processor was given to others for a while."""

    def classify(self, tensor: Pixels) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        time.sleep(0.05)
        return super().classify(tensor)


def test_the_turns_of_others_are_no_cost_of_a_model(tiny: ModelPackage, clip: Path) -> None:
    meters = []

    def beside(tally: Tally) -> Shadow:
        made = shadow(challenger(tiny, Interrupted), tally, 0.5, time.monotonic)
        meters.append(made.meter)
        return made

    _, tally = run(clip, tiny, beside)
    if meters[0] is not time.thread_time:
        pytest.skip("this kernel counts a thread's time in ticks")
    assert tally.looks
    assert all(look.champion_seconds > 0 for look in tally.looks)
    assert all(0 < look.challenger_seconds < 0.05 for look in tally.looks)


def test_a_clock_that_goes_by_coarse_steps_is_not_used() -> None:
    def ticks() -> Iterator[float]:
        while True:
            yield from [5.0] * 3
            yield from [5.01] * 3

    coarse = iter(ticks())
    assert fine_clock(lambda: next(coarse), time.monotonic) is time.monotonic
    assert fine_clock(time.monotonic, lambda: 0.0) is time.monotonic


# In the pipeline.


def run(
    clip: Path, tiny: ModelPackage, beside: Callable[[Tally], Shadow] | None, *, detector: FaceDetector | None = None
) -> tuple[Notes, Tally]:
    notes, tally = Notes(), Tally()
    pipeline = Pipeline(
        open_source(SourceSettings(url=str(clip), pace="fast")),
        detector or Everywhere(),
        Classifier(tiny.model, tiny.manifest),
        EAGER,
        clock=time.monotonic,
        observer=notes,
        evidence=notes,
        chance=random.Random(1),  # noqa: S311
    )
    if beside is not None:
        pipeline.shadow(beside(tally))
    pipeline.run(threading.Event())
    return notes, tally


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.avi"
    noise = np.random.default_rng(1)
    write_clip(path, (noise.integers(0, 256, (120, 160), np.uint8) for _ in range(60)))
    return path


def said(notes: Notes) -> list[tuple[object, ...]]:
    return [(event.track, event.label, event.probabilities, event.box) for event in notes.predictions]


@pytest.mark.parametrize("kind", [Classifier, NoNumber, "raises"], ids=["good", "NaN", "raises"])
def test_frames_and_predictions_are_the_same_with_and_without_a_shadow_whatever_it_does(
    tiny: ModelPackage, clip: Path, kind: object
) -> None:
    alone, _ = run(clip, tiny, None)

    def beside(tally: Tally) -> Shadow:
        classifier = challenger(tiny, kind if isinstance(kind, type) else Failing, release=2)
        made = shadow(classifier, tally, spacing=0.5, clock=time.monotonic)
        if isinstance(classifier, Failing):
            classifier.raises = RuntimeError("boom")
        return made

    notes, tally = run(clip, tiny, beside)
    assert notes.counts == alone.counts
    assert notes.counts["drops"] == 0
    assert notes.stages == alone.stages
    assert said(notes) == said(alone)
    assert (notes.errors, notes.failures) == ([], [])
    assert notes.answers == alone.answers  # the challenger's own answers went elsewhere
    looks = len(tally.looks) if kind is Classifier else tally.failures
    assert looks == 4  # two seconds, one look in half a second


def test_the_same_model_in_shadow_agrees_on_every_real_face(
    tiny: ModelPackage, portrait: Pixels, tmp_path: Path
) -> None:
    path = tmp_path / "face.avi"
    write_clip(path, moving_face(portrait, 30))
    _, tally = run(
        path, tiny, lambda tally: shadow(challenger(tiny), tally, 0.0, time.monotonic), detector=HaarDetector()
    )
    assert tally.looks
    assert all(look.champion_label == look.challenger_label for look in tally.looks)
    assert all(look.champion_confidence == pytest.approx(look.challenger_confidence) for look in tally.looks)


def test_a_challenger_of_another_size_and_crop_looks_at_the_same_face(tiny: ModelPackage, clip: Path) -> None:
    emotion = read_file(Path(__file__).resolve().parents[3] / "models" / "emotion-5.ewm")
    _, tally = run(
        clip, tiny, lambda tally: shadow(Classifier(emotion.model, emotion.manifest), tally, 0.5, time.monotonic)
    )
    assert len(tally.looks) == 4


def test_a_challenger_that_cannot_be_compared_is_shown_nothing(tiny: ModelPackage, clip: Path) -> None:
    whole = replace(tiny.manifest.crop, around="frame")
    notes, tally = run(clip, tiny, lambda tally: shadow(challenger(tiny, crop=whole), tally, 0.0, time.monotonic))
    assert notes.counts["classified"] > 0
    assert (tally.looks, tally.failures, tally.skipped) == ([], 0, 0)


def test_a_shadow_ends_between_two_frames(tiny: ModelPackage, clip: Path) -> None:
    tally = Tally()
    pipeline: list[Pipeline] = []
    before = 0

    def end(frame: int) -> None:
        nonlocal before
        if frame == 30:
            before = notes.counts["classified"]
            pipeline[0].shadow(None)

    notes = Notes(end)
    pipeline.append(
        Pipeline(
            open_source(SourceSettings(url=str(clip), pace="fast")),
            Everywhere(),
            Classifier(tiny.model, tiny.manifest),
            EAGER,
            clock=time.monotonic,
            observer=notes,
            chance=random.Random(1),  # noqa: S311
        )
    )
    pipeline[0].shadow(shadow(challenger(tiny), tally, 0.0, time.monotonic))
    pipeline[0].run(threading.Event())
    assert 0 < len(tally.looks) == before < notes.counts["classified"]
    assert notes.counts["frames"] == 60
