"""Finding faces at the least cost: when the detector runs, what the follower bridges, what motion wakes."""

import time

import cv2
import numpy as np
import pytest

from edge_agent.inference import detect_interval
from edge_agent.inference.detect_interval import Cadence
from edge_agent.inference.locate import DetectorFailedError, FaceLocator
from edge_agent.inference.motion import MotionGate
from edge_agent.inference.settings import DetectIntervalSettings, LocateSettings
from edge_agent.inference.template_tracker import follow, template_of
from edge_agent.inference.tracks import overlap
from edge_vision.faces import Face, HaarDetector, working_copy
from edge_vision.picture import Box
from tests.agent.scenes import moving_face

SETTINGS = LocateSettings(cadence=DetectIntervalSettings(detect_every=5, detect_at_least_every=30, budget=0.5))


class Scripted:
    """A detector that sees what a list says, then its last entry for ever."""

    name = "scripted"

    def __init__(self, *answers: list[Face] | Exception) -> None:
        self.answers = list(answers)
        self.frames: list[int] = []
        self.frame = -1

    def detect(self, picture: np.ndarray) -> list[Face]:  # noqa: ARG002
        self.frames.append(self.frame)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def walk(detector: Scripted, pictures: list[np.ndarray], **options: bool) -> list[list[int]]:
    """The numbers of the faces located in each picture, 30 pictures a second."""
    locator = FaceLocator(detector, SETTINGS, time.monotonic, fps=30.0, **options)
    seen = []
    for frame, picture in enumerate(pictures):
        detector.frame = frame
        seen.append([track.number for track in locator.locate(picture, frame / 30).faces])
        locator.refresh(picture, frame / 30)
    return seen


def textured(shift: int = 0) -> np.ndarray:
    """A scene with one distinct patch, `shift` pixels further right."""
    scene = np.full((240, 320), 100, np.uint8)
    patch = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (40, 40), np.uint8), (0, 0), 2)
    scene[60:100, 60 + shift : 100 + shift] = cv2.normalize(patch, None, 0, 255, cv2.NORM_MINMAX)
    return scene


PATCH = Box(60, 60, 40, 40)


def test_the_detector_runs_on_every_fifth_moving_frame_and_the_face_is_followed_between() -> None:
    detector = Scripted([Face(PATCH, 0.9)], [Face(Box(70, 60, 40, 40), 0.9)], [Face(Box(80, 60, 40, 40), 0.9)])
    seen = walk(detector, [textured(2 * frame) for frame in range(11)])
    assert detector.frames == [0, 5, 10]
    assert seen == [[1]] * 11


def test_pictures_of_another_size_are_searched_at_once_and_their_faces_are_new() -> None:
    detector = Scripted([Face(PATCH, 0.9)])
    seen = walk(detector, [textured(), textured(2), textured(4)[:180], textured(6)[:180]])
    assert detector.frames == [0, 2]
    assert seen == [[1], [1], [2], [2]]


def test_a_doubtful_face_is_looked_at_again_on_the_next_frame() -> None:
    detector = Scripted([Face(PATCH, 0.6)])
    seen = walk(detector, [textured(frame % 2 * 3) for frame in range(4)])
    assert detector.frames == [0, 1]
    assert seen == [[], [1], [1], [1]]


def test_a_face_that_cannot_be_followed_is_searched_on_the_next_frame() -> None:
    empty = np.full((240, 320), 100, np.uint8)
    detector = Scripted([Face(PATCH, 0.9)], [])
    seen = walk(detector, [textured(), empty, textured(5)])
    assert detector.frames == [0, 2]
    assert seen == [[1], [], []]


def test_nothing_moves_and_the_detector_sleeps_but_for_a_look_now_and_then() -> None:
    detector = Scripted([Face(PATCH, 0.9)])
    seen = walk(detector, [textured()] * 130)
    assert detector.frames == [0, 60, 120]
    assert seen == [[1]] * 130


def test_unrelated_pictures_are_searched_each_and_every_face_counts() -> None:
    detector = Scripted([Face(PATCH, 0.6)])
    assert walk(detector, [textured()] * 3, continuous=False) == [[1], [2], [3]]
    assert detector.frames == [0, 1, 2]


def test_a_detector_that_failed_is_tried_on_the_next_frame() -> None:
    detector = Scripted(RuntimeError("out of memory"), [Face(PATCH, 0.9)])
    locator = FaceLocator(detector, SETTINGS, time.monotonic, fps=30.0)
    with pytest.raises(DetectorFailedError, match="out of memory"):
        locator.locate(textured(), 0.0)
    assert len(locator.locate(textured(), 1 / 30).faces) == 1


def test_a_real_face_is_followed_close_to_where_a_detector_would_find_it(portrait: np.ndarray) -> None:
    """Mean overlap with a detection on every frame; 0.6 is far above what standing still gives on this clip."""
    detector = HaarDetector()
    locator = FaceLocator(detector, LocateSettings(), time.monotonic, fps=30.0)
    shared = []
    for frame, picture in enumerate(moving_face(portrait, 60)):
        small, _ = working_copy(picture)
        located, truth = locator.locate(small, frame / 30).faces, detector.detect(small)
        locator.refresh(small, frame / 30)
        if located and truth:
            shared.append(overlap(located[0].box, truth[0].box))
    assert len(shared) > 40
    assert np.mean(shared) > 0.6


# --- the follower -----------------------------------------------------------------------------------------------------
def test_a_patch_is_followed_to_a_fraction_of_a_pixel_of_the_template() -> None:
    template = template_of(textured(), PATCH)
    assert template is not None
    for shift in (0, 3, 8, 12):
        found = follow(textured(shift), template, PATCH)
        assert found is not None
        assert abs(found.left - 60 - shift) < 1.0
        assert abs(found.top - 60) < 1.0


def test_a_patch_that_is_gone_is_not_found() -> None:
    template = template_of(textured(), PATCH)
    assert template is not None
    noise = np.random.default_rng(5).integers(0, 256, (240, 320), np.uint8)
    for scene in (np.full((240, 320), 100, np.uint8), noise, textured(120)):
        assert follow(scene, template, PATCH) is None


@pytest.mark.parametrize(
    "box", [Box(-60, 0, 40, 40), Box(400, 400, 40, 40), Box(0, 0, 2, 2), Box(10, 10, 30, 30)],
    ids=["outside", "far outside", "tiny", "without texture"],
)  # fmt: skip
def test_what_cannot_be_followed_has_no_template(box: Box) -> None:
    assert template_of(textured(), box) is None


# --- the motion gate --------------------------------------------------------------------------------------------------
def test_noise_is_no_motion_and_a_small_moving_face_is() -> None:
    rng = np.random.default_rng(1)
    still = np.full((240, 320), 100.0)

    def noisy(scene: np.ndarray) -> np.ndarray:
        return np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)

    gate = MotionGate(3.0)
    assert gate.moved(noisy(still))
    assert not any(gate.moved(noisy(still)) for _ in range(50))
    still[100:120, 100:120] += 40
    assert gate.moved(noisy(still))
    assert not gate.moved(noisy(still))


def test_a_slow_change_adds_up_until_it_counts() -> None:
    gate = MotionGate(3.0)
    moved = [gate.moved(np.full((240, 320), 100 + step // 4, np.uint8)) for step in range(40)]
    assert moved[0]
    assert sum(moved[1:]) == 3


# --- how often to detect ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("detect", "rest", "interval", "every"),
    [
        (0.004, 0.002, 1 / 30, 5),
        (0.100, 0.005, 1 / 30, 9),
        (0.500, 0.005, 1 / 30, 30),
        (0.004, 0.050, 1 / 30, 30),
        (0.100, 0.005, 1 / 5, 5),
        (0.0, 0.0, 1 / 30, 5),
    ],
    ids=["fast board", "slow detector", "very slow detector", "no time left", "slow camera", "nothing known yet"],
)
def test_k_grows_with_what_the_detector_costs(detect: float, rest: float, interval: float, every: int) -> None:
    assert Cadence(interval, detect, rest).every(DetectIntervalSettings()) == every


def test_durations_are_learned_and_the_detectors_only_where_it_ran() -> None:
    state = Cadence(interval=1 / 30)
    for frame in range(60):
        state = detect_interval.step(state, interval=0.1, detect=0.05 if frame % 5 == 0 else None, rest=0.01)
    assert state.detect == pytest.approx(0.05)
    assert state.rest == pytest.approx(0.01, rel=0.01)
    assert state.interval == pytest.approx(0.1, rel=0.01)


def test_a_model_of_whole_pictures_gets_the_central_square_of_every_frame_and_no_search() -> None:
    detector = Scripted(AssertionError("searched"))
    locator = FaceLocator(detector, SETTINGS, time.monotonic, fps=30.0)
    for frame in range(10):
        located = locator.whole(textured(8 * frame), frame / 30)
        assert [(track.number, track.box) for track in located.faces] == [(1, Box(40, 0, 240, 240))]
        assert locator.refresh(textured(8 * frame), frame / 30) is None
    assert detector.frames == []


def test_each_picture_of_a_folder_is_a_thing_of_its_own_for_a_model_of_whole_pictures() -> None:
    locator = FaceLocator(Scripted([]), SETTINGS, time.monotonic, fps=30.0, continuous=False)
    assert [locator.whole(textured(), 0.0).faces[0].number for _ in range(3)] == [1, 2, 3]


def test_a_model_of_faces_that_takes_over_begins_with_a_search_and_forgets_the_frame() -> None:
    detector = Scripted([Face(PATCH, 0.9)])
    locator = FaceLocator(detector, SETTINGS, time.monotonic, fps=30.0)
    locator.whole(textured(), 0.0)
    located = locator.locate(textured(), 1 / 30)
    assert [track.box for track in located.faces] == [PATCH]
    assert len(detector.frames) == 1
