"""The pipeline on real clips with a real model: every frame accounted for, whatever the frames are."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source, SourceError, SourceTraits
from edge_agent.inference.events import CountedTrack, FaceLook, PredictionEvent, ShownFace
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import ConsensusSettings, PipelineSettings
from edge_contract.manifest import FaceCrop
from edge_contract.messages import STAGES, ModelRef
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier, ModelFailedError
from edge_vision.faces import Face, FaceDetector, HaarDetector
from edge_vision.picture import Box
from edge_vision.quality import Quality, quality_of
from tests.agent.scenes import PipeCamera, moving_face, write_clip
from tests.conftest import REPOSITORY

EAGER = PipelineSettings(
    consensus=ConsensusSettings(window=0.0, threshold=0.0, margin=0.0, evidence=1, hold=0.0, repeat=0.0)
)


class Scene:
    """What is told of the scene, written down."""

    def __init__(self) -> None:
        self.faceless: list[bool] = []
        self.pictures: list[Quality] = []
        self.looks: list[FaceLook] = []
        self.tracks: list[CountedTrack] = []

    def seen(self, faces: int | None, unchanged: float | None) -> None:
        assert unchanged is None
        if faces is not None:
            self.faceless.append(faces == 0)

    def picture(self, quality: Quality) -> None:
        self.pictures.append(quality)

    def face(self, look: FaceLook) -> None:
        self.looks.append(look)

    def counted(self, track: CountedTrack) -> None:
        self.tracks.append(track)


class Notes:
    """Observer, evidence and preview: all of it written down."""

    def __init__(self, on_frame: Callable[[int], None] = lambda _: None) -> None:
        self.counts: Counter[str] = Counter()
        self.predictions: list[PredictionEvent] = []
        self.errors: list[tuple[str, str]] = []
        self.stages: Counter[str] = Counter()
        self.shown: list[tuple[ShownFace, ...]] = []
        self.watched = True
        self.answers: Counter[ModelRef] = Counter()
        self.failures: list[str] = []
        self.scene = Scene()
        self._on_frame = on_frame

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages[name] += 1

    def frame(self, dropped_before: int) -> None:
        self.counts["frames"] += 1
        self.counts["drops"] += dropped_before
        self._on_frame(self.counts["frames"])

    def faces(self, count: int) -> None:
        self.counts["faces"] += count

    def classified(
        self,
        label: str,  # noqa: ARG002
        confidence: float,
    ) -> None:
        assert 0 <= confidence <= 1
        self.counts["classified"] += 1

    def prediction(self, event: PredictionEvent) -> None:
        self.predictions.append(event)

    def error(self, kind: str, detail: str) -> None:
        self.errors.append((kind, detail))

    def answered(self, model: ModelRef) -> None:
        self.answers[model] += 1

    def model_failed(self, model: ModelRef, reason: str) -> None:  # noqa: ARG002
        self.failures.append(reason)

    def reconnect(self) -> None:
        self.counts["reconnects"] += 1

    def show(self, picture: np.ndarray, faces: tuple[ShownFace, ...]) -> None:  # noqa: ARG002
        self.shown.append(faces)


class Everywhere:
    """A detector that finds one leaning face in the middle of whatever it is given, unless that is black."""

    name = "everywhere"

    def detect(self, picture: np.ndarray) -> list[Face]:
        height, width = picture.shape[:2]
        return [Face(Box(width / 4, height / 4, width / 2, height / 2), 0.9, 7.0)] if picture.any() else []


@pytest.fixture
def classifier(tiny: ModelPackage) -> Classifier:
    return Classifier(tiny.model, tiny.manifest)


def pipeline(
    source: Source, detector: FaceDetector, classifier: Classifier | None, notes: Notes, how: PipelineSettings = EAGER
) -> Pipeline:
    chance = random.Random(1)  # noqa: S311
    return Pipeline(
        source,
        detector,
        classifier,
        how,
        clock=time.monotonic,
        observer=notes,
        evidence=notes,
        scene=notes.scene,
        chance=chance,
        preview=notes,
    )


def fast(path: Path, **fields: object) -> Source:
    return open_source(SourceSettings(**{"url": str(path), "pace": "fast", **fields}))  # type: ignore[arg-type]


def test_a_clip_played_fast_loses_no_frame_and_its_face_is_classified(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier, tiny: ModelPackage
) -> None:
    count = write_clip(tmp_path / "clip.avi", moving_face(portrait, 45))
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), HaarDetector(), classifier, notes).run(threading.Event())
    assert (notes.counts["frames"], notes.counts["drops"], notes.errors) == (count, 0, [])
    assert notes.counts["faces"] > 30
    assert len(notes.predictions) == notes.counts["classified"] > 30
    for event in notes.predictions:
        assert event.model == tiny.manifest.ref
        assert event.label in tiny.manifest.labels
        assert event.confidence == max(event.probabilities)
        assert all(0 <= share <= 1 for share in event.box)
        assert 0.2 < event.box[0] + event.box[2] / 2 < 0.8
    assert set(notes.stages) == set(STAGES) - {"publish"}
    assert notes.stages["whole"] == notes.stages["capture"] == count
    assert notes.stages["detect"] < count / 2


def test_a_model_of_whole_pictures_answers_for_every_frame_without_a_detector(
    tmp_path: Path, tiny: ModelPackage
) -> None:
    pictures = [np.full((480, 640), 25 * number, np.uint8) for number in range(10)]
    count = write_clip(tmp_path / "clip.avi", iter(pictures))
    manifest = msgspec.structs.replace(tiny.manifest, crop=FaceCrop(around="frame", margin=1.0, shift_y=0.0))
    notes = Notes()
    source = fast(tmp_path / "clip.avi")
    pipeline(source, HaarDetector(), Classifier(tiny.model, manifest), notes).run(threading.Event())
    assert (notes.counts["frames"], notes.counts["faces"], notes.errors) == (count, count, [])
    assert {event.box for event in notes.predictions} == {(80 / 640, 0.0, 480 / 640, 1.0)}
    assert notes.stages["detect"] == 0


def test_the_square_of_a_whole_picture_is_the_pictures_own_and_not_its_small_copys(
    tmp_path: Path, tiny: ModelPackage
) -> None:
    """641 pixels are 320 of the search copy: back from there the square would be a pixel too wide."""
    cv2.imwrite(str(tmp_path / "odd.png"), np.full((479, 641), 90, np.uint8))
    manifest = msgspec.structs.replace(tiny.manifest, crop=FaceCrop(around="frame", margin=1.0, shift_y=0.0))
    notes = Notes()
    pipeline(fast(tmp_path / "odd.png"), HaarDetector(), Classifier(tiny.model, manifest), notes).run(threading.Event())
    [event] = notes.predictions
    assert event.box == pytest.approx((81 / 641, 0.0, 479 / 641, 1.0), abs=1e-9)


def test_a_person_is_counted_once_per_model_with_what_he_was_called_last(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage
) -> None:
    """Seven seconds of a face, and another model in the last of them: one track, two models, two counts."""
    other = read_file(Path(__file__).parents[2] / "fixtures" / "tiny-2.ewm")
    reference = msgspec.structs.replace(tiny.manifest.reference, sure_above=0.0)
    certain = Classifier(tiny.model, msgspec.structs.replace(tiny.manifest, reference=reference))
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 210, size=(160, 120)))
    running: list[Pipeline] = []
    swap = Classifier(other.model, other.manifest)
    notes = Notes(lambda frame: running[0].swap(swap) if frame == 200 else None)
    running.append(pipeline(fast(tmp_path / "clip.avi"), Everywhere(), certain, notes))
    running[0].run(threading.Event())
    first, second = notes.scene.tracks
    assert (first.model, second.model) == (tiny.manifest.ref, other.manifest.ref)
    assert (first.sure, second.sure) == (True, False)
    called = [event for event in notes.predictions if 4.9 < event.moment < 5.2]
    assert (first.label, first.confidence) in [(event.label, event.confidence) for event in called]
    assert (second.label, second.confidence) == (notes.predictions[-1].label, notes.predictions[-1].confidence)


def test_a_face_that_was_looked_at_too_seldom_is_not_counted(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    black, faces = np.zeros((120, 160), np.uint8), list(moving_face(portrait, 40, size=(160, 120)))
    settled = PipelineSettings(consensus=ConsensusSettings(evidence=30, threshold=0.0))
    for looks, tracks in ((20, 0), (40, 1)):
        write_clip(tmp_path / "clip.avi", iter([*faces[:looks], *[black] * 40]))
        notes = Notes()
        pipeline(fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes, settled).run(threading.Event())
        assert (len(notes.predictions), len(notes.scene.tracks)) == (tracks, tracks)


def test_each_picture_of_a_folder_is_a_track_and_whole_pictures_are_neither_searched_nor_faces(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage, classifier: Classifier
) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), portrait)
    notes = Notes()
    pipeline(fast(tmp_path), Everywhere(), classifier, notes).run(threading.Event())
    assert len(notes.scene.tracks) == len(notes.scene.faceless) == 4
    whole = msgspec.structs.replace(tiny.manifest, crop=FaceCrop(around="frame", margin=1.0, shift_y=0.0))
    notes = Notes()
    pipeline(fast(tmp_path), Everywhere(), Classifier(tiny.model, whole), notes).run(threading.Event())
    assert len(notes.scene.tracks) == 4
    assert (notes.scene.faceless, notes.scene.looks) == ([], [])
    assert len(notes.scene.pictures) == 1


def test_pictures_and_faces_are_measured_once_in_a_second(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    pictures = [*moving_face(portrait, 75, size=(320, 240)), *[np.zeros((240, 320), np.uint8)] * 45]
    write_clip(tmp_path / "clip.avi", iter(pictures))
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes).run(threading.Event())
    scene = notes.scene
    assert (len(scene.pictures), len(scene.looks)) == (4, 3)
    assert scene.pictures[0].contrast == pytest.approx(quality_of(pictures[0]).contrast, abs=0.01)
    assert scene.pictures[-1].brightness < 0.02
    assert {(look.side, look.roll) for look in scene.looks} == {(158, 7.0)}  # 160 by the manifest's margin of 0.99
    assert all(0.1 < look.quality.brightness < 0.9 for look in scene.looks)
    assert scene.faceless[0] is False
    assert scene.faceless[-1] is True


def test_two_faces_have_a_track_each(tmp_path: Path, portrait: np.ndarray, classifier: Classifier) -> None:
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 30, faces=2))
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), HaarDetector(), classifier, notes).run(threading.Event())
    assert len({event.track for event in notes.predictions}) == 2


def test_a_clip_in_real_time_accounts_for_every_frame_however_slow_the_work(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    count = write_clip(tmp_path / "clip.avi", moving_face(portrait, 30))

    class Slow(Everywhere):
        def detect(self, picture: np.ndarray) -> list[Face]:
            time.sleep(0.15)
            return super().detect(picture)

    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi", pace="real-time"), Slow(), classifier, notes).run(threading.Event())
    assert notes.counts["frames"] + notes.counts["drops"] == count
    assert notes.counts["drops"] > 0


def test_a_new_model_takes_over_between_two_frames_and_none_is_lost(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    other = read_file(Path(__file__).parents[2] / "fixtures" / "tiny-2.ewm")
    count = write_clip(tmp_path / "clip.avi", moving_face(portrait, 30))
    running: list[Pipeline] = []

    def swap(frame: int) -> None:
        if frame == 15:  # from another thread, as the updater does
            made = Classifier(other.model, other.manifest)
            thread = threading.Thread(target=running[0].swap, args=(made,))
            thread.start()
            thread.join()

    notes = Notes(swap)
    running.append(pipeline(fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes))
    running[0].run(threading.Event())
    assert (notes.counts["frames"], notes.errors) == (count, [])
    assert [event.model.release for event in notes.predictions] == [1] * 14 + [2] * 16


def test_without_a_model_faces_are_counted_until_one_comes(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 10))
    running: list[Pipeline] = []
    notes = Notes(lambda frame: running[0].swap(classifier) if frame == 6 else None)
    running.append(pipeline(fast(tmp_path / "clip.avi"), Everywhere(), None, notes))
    running[0].run(threading.Event())
    assert notes.counts["faces"] == 10
    assert len(notes.predictions) == 5


def test_a_detector_that_fails_on_a_frame_costs_that_frame_only(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 10))

    class Failing(Everywhere):
        calls = 0

        def detect(self, picture: np.ndarray) -> list[Face]:
            self.calls += 1
            if self.calls == 1:
                raise cv2.error("out of memory")
            return super().detect(picture)

    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), Failing(), classifier, notes).run(threading.Event())
    assert notes.counts["frames"] == 10
    assert notes.errors == [("detector", "everywhere failed (error: out of memory)")]
    assert len(notes.predictions) == 9
    assert (sum(notes.answers.values()), notes.failures) == (9, [])  # the model has nothing to do with it


def test_a_model_that_fails_on_a_face_is_told_as_the_models_failure_and_costs_that_answer_only(
    tmp_path: Path, portrait: np.ndarray, tiny: ModelPackage
) -> None:
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 10))

    class Failing(Classifier):
        runs = 0

        def raw(self, tensor: np.ndarray) -> np.ndarray:
            self.runs += 1
            if self.runs == 1:
                raise ModelFailedError("tiny 1 cannot be run (out of memory)")
            return super().raw(tensor)

    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), Everywhere(), Failing(tiny.model, tiny.manifest), notes).run(
        threading.Event()
    )
    assert notes.failures == ["tiny 1 cannot be run (out of memory)"]
    assert [kind for kind, _ in notes.errors] == ["model"]
    assert notes.answers == {tiny.manifest.ref: 9}


@pytest.mark.parametrize("name", ["nan-1", "short-1", "long-1"])
def test_an_answer_that_is_no_probabilities_is_the_models_failure_and_is_never_published(
    name: str, tmp_path: Path
) -> None:
    for number, brightness in enumerate((60, 255, 90, 250)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64), brightness, np.uint8))
    package = read_file(REPOSITORY / "tests" / "fixtures" / f"{name}.ewm")
    notes = Notes()
    source = fast(tmp_path)
    pipeline(source, HaarDetector(), Classifier(package.model, package.manifest), notes).run(threading.Event())
    assert [event.label for event in notes.predictions] == ["dark", "dark"]
    assert (sum(notes.answers.values()), len(notes.failures)) == (2, 2)
    assert {kind for kind, _ in notes.errors} == {"model"}


def test_frames_without_a_face_are_evidence_of_nothing(tmp_path: Path, classifier: Classifier) -> None:
    write_clip(tmp_path / "clip.avi", (np.full((480, 640), 90 + number, np.uint8) for number in range(10)))
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), HaarDetector(), classifier, notes).run(threading.Event())
    assert notes.counts["frames"] == 10
    assert (notes.answers, notes.failures) == ({}, [])


class Given:
    """A source of exactly these arrays, as a careless driver would hand them over."""

    settings = SourceSettings(pace="fast")
    fps = 30.0

    def __init__(self, arrays: list[np.ndarray], *, continuous: bool = True) -> None:
        self.traits = SourceTraits("given", kind="file", live=False, camera=False, continuous=continuous)
        self._arrays = arrays

    def connect(self) -> "Given":
        self._left = iter(self._arrays)
        return self

    def grab(self) -> bool:
        self._frame = next(self._left, None)
        return self._frame is not None

    def retrieve(self, *, gray: bool) -> np.ndarray:  # noqa: ARG002
        assert self._frame is not None
        return self._frame

    def close(self) -> None:
        """Nothing is open."""


GOOD = np.random.default_rng(1).integers(0, 256, (480, 640), np.uint8)


@pytest.mark.parametrize(
    ("bad", "fails"),
    [
        (np.zeros((0, 0), np.uint8), True),
        (np.zeros((480, 0), np.uint8), True),
        (np.zeros((480, 640), np.float64), True),
        (np.zeros(100, np.uint8), True),
        (np.zeros((4, 4, 4, 4), np.uint8), True),
        (np.zeros((1, 1), np.uint8), False),
        (np.zeros((1, 640), np.uint8), False),
        (np.zeros((4320, 7680), np.uint8), False),
        (np.zeros((48, 64), np.uint16), False),
        (np.zeros((48, 64, 4), np.uint8), False),
        (np.zeros((480, 640, 3), np.uint8), False),
    ],
    ids=["empty", "no width", "float", "a row", "four axes", "1x1", "a line", "8K", "16 bits", "BGRA", "BGR"],
)
def test_the_loop_never_dies_of_a_frame(bad: np.ndarray, fails: bool, classifier: Classifier) -> None:
    notes = Notes()
    pipeline(Given([GOOD, bad, GOOD, bad, GOOD]), Everywhere(), classifier, notes).run(threading.Event())
    assert notes.counts["frames"] == notes.stages["whole"] == (3 if fails else 5)
    assert [kind for kind, _ in notes.errors] == (["frame"] * 2 if fails else [])
    assert len(notes.predictions) >= 3


SHAPES = st.lists(st.integers(0, 70), min_size=1, max_size=3) | st.tuples(
    st.integers(0, 70), st.integers(0, 70), st.sampled_from([1, 3, 4])
)
FRAMES = st.builds(
    lambda shape, dtype, value: np.full(tuple(shape), value, dtype),
    SHAPES,
    st.sampled_from([np.uint8, np.uint16, np.int8, np.float32, np.float64, np.bool_]),
    st.integers(0, 1),
)


@given(frames=st.lists(FRAMES, max_size=8), continuous=st.booleans())
@example(frames=[np.zeros((1, 10), np.uint8), np.zeros((1, 1, 1), np.uint8)], continuous=True)  # a box larger than this
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_frames_are_each_is_counted_and_a_good_one_after_them_is_answered(
    frames: list[np.ndarray], continuous: bool, classifier: Classifier
) -> None:
    notes = Notes()
    source = Given([*frames, GOOD, GOOD], continuous=continuous)
    pipeline(source, Everywhere(), classifier, notes).run(threading.Event())
    assert notes.counts["frames"] == notes.stages["whole"]
    assert notes.counts["frames"] + len(notes.errors) == len(frames) + 2
    assert notes.predictions


def test_a_model_that_takes_rgb_gets_frames_in_colour(tmp_path: Path, tiny: ModelPackage) -> None:
    """No RGB model of the fixtures' size exists, so the classifier is told it has one and asked what it was given."""
    write_clip(tmp_path / "clip.avi", iter([np.full((120, 160, 3), (10, 60, 200), np.uint8)] * 4))
    made = Classifier(tiny.model, tiny.manifest)
    rgb = msgspec.structs.replace(tiny.manifest.input, color="rgb")
    made.manifest = msgspec.structs.replace(tiny.manifest, input=rgb)
    made.input = np.zeros(rgb.shape, np.uint8)
    given: list[list[int]] = []

    def remember(tensor: np.ndarray) -> np.ndarray:
        given.append(tensor[0, 24, 24].tolist())
        return np.full(7, 1 / 7, np.float32)

    made.classify = remember  # type: ignore[method-assign]
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), Everywhere(), made, notes).run(threading.Event())
    assert notes.errors == []
    assert max(abs(a - b) for a, b in zip(given[-1], (200, 60, 10), strict=True)) <= 6


def test_a_camera_runs_until_it_is_told_to_stop_and_every_frame_counts(classifier: Classifier) -> None:
    rng = np.random.default_rng(1)
    camera = PipeCamera(SourceSettings(), [rng.integers(0, 256, (120, 160), np.uint8) for _ in range(5)])
    stop, notes = threading.Event(), Notes()
    run = pipeline(camera, Everywhere(), classifier, notes).run
    thread = threading.Thread(target=run, args=(stop,), daemon=True)
    thread.start()
    while not camera.connected:
        time.sleep(0.005)
    camera.show(20)
    while notes.counts["frames"] + notes.counts["drops"] < 20:
        time.sleep(0.005)
    stop.set()
    camera.show()  # lets the last read return
    thread.join()
    assert notes.counts["frames"] + notes.counts["drops"] in {20, 21}
    assert notes.predictions


def test_a_file_that_is_no_video_ends_the_run_with_its_reason(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "notes.avi").write_bytes(b"shopping list" * 100)
    with pytest.raises(SourceError, match=r"notes\.avi is no video"):
        pipeline(fast(tmp_path / "notes.avi"), Everywhere(), classifier, Notes()).run(threading.Event())


def test_a_preview_sees_the_boxes_only_while_somebody_watches(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    write_clip(tmp_path / "clip.avi", moving_face(portrait, 6))
    notes = Notes()
    pipeline(fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes).run(threading.Event())
    assert len(notes.shown) == 6
    assert notes.shown[-1][0].label == notes.predictions[-1].label
    notes.shown, notes.watched = [], False
    pipeline(fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes).run(threading.Event())
    assert notes.shown == []


def test_a_still_scene_is_classified_until_it_is_settled_and_then_left_alone(classifier: Classifier) -> None:
    how = PipelineSettings(consensus=ConsensusSettings(threshold=0.0, evidence=4, repeat=1000.0))
    notes = Notes()
    pipeline(Given([GOOD] * 40), Everywhere(), classifier, notes, how).run(threading.Event())
    assert notes.counts["classified"] == 4
    assert [event.moment for event in notes.predictions] == [pytest.approx(4 / 30)]


def test_a_settled_face_that_moves_is_looked_at_on_every_second_frame_and_no_other_face_less(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    count = write_clip(tmp_path / "clip.avi", moving_face(portrait, 60))
    looks = {}
    for relook in (0.0, 0.06):
        # Evidence that never fades: the first label leads for good, so the face stays settled.
        consensus = ConsensusSettings(threshold=0.0, evidence=4, repeat=1000.0, window=1000.0, relook=relook)
        notes = Notes()
        pipeline(
            fast(tmp_path / "clip.avi"), Everywhere(), classifier, notes, PipelineSettings(consensus=consensus)
        ).run(threading.Event())
        assert notes.predictions[0].moment == pytest.approx(3 / 30)  # of its fourth frame
        looks[relook] = notes.counts["classified"]
    assert looks[0.0] == count
    assert 4 + (count - 4) // 2 <= looks[0.06] < 0.6 * count  # a look may unsettle it for a moment


def test_fast_and_real_time_agree_on_what_was_said(
    tmp_path: Path, portrait: np.ndarray, classifier: Classifier
) -> None:
    """Evidence fades with the clip's own time, so how fast it is worked through does not matter."""
    path = tmp_path / "clip.avi"
    write_clip(path, moving_face(portrait, 20))
    how = PipelineSettings(consensus=ConsensusSettings(threshold=0.0, relook=0.0))
    said = []
    for pace in ("fast", "real-time"):
        notes = Notes()
        pipeline(fast(path, pace=pace), Everywhere(), classifier, notes, how).run(threading.Event())
        if notes.counts["drops"]:
            pytest.skip("this machine was too busy to show every frame in real time")
        said.append([(event.track, event.label) for event in notes.predictions])
    assert said[0] == said[1] != []
