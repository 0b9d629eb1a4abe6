"""Finding a real face, with both detectors, in every form of picture; and no detector before its digest holds."""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_contract.errors import TrustError, UsageError
from edge_vision.faces import (
    FaceDetector,
    HaarDetector,
    YuNetDetector,
    _is_plausible,
    _roll,
    open_detector,
    working_copy,
)
from edge_vision.picture import Box

FACE = Box(179, 63, 90, 112)
"""Where YuNet sees the portrait's face, looked at."""


def near(found: Box, expected: Box) -> bool:
    off = [
        found.left + found.width / 2 - expected.left - expected.width / 2,
        found.top + found.height / 2 - expected.top - expected.height / 2,
        max(found.width, found.height) - max(expected.width, expected.height),
    ]
    return max(map(abs, off)) < 0.15 * max(expected.width, expected.height)


@pytest.fixture(params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> Iterator[FaceDetector]:
    if request.param == "haar":
        yield HaarDetector()
    else:
        folder: Path = request.getfixturevalue("shared_data")
        yield YuNetDetector(folder / "face_detection_yunet_2023mar.onnx")


def test_the_face_is_found_in_grey_and_in_colour(detector: FaceDetector, portrait: np.ndarray) -> None:
    for picture in (portrait, cv2.cvtColor(portrait, cv2.COLOR_GRAY2BGR)):
        (face,) = detector.detect(picture)
        assert near(face.box, FACE)
        assert 0 < face.score <= 1


def test_boxes_are_in_the_pictures_own_pixels_whatever_its_size(detector: FaceDetector, portrait: np.ndarray) -> None:
    for side in (256, 640, 2048):
        (face,) = detector.detect(cv2.resize(portrait, (side, side)))
        assert near(face.box, Box(*(value * side / 512 for value in FACE)))


def test_a_face_that_leans_is_told_so_by_the_detector_that_finds_eyes(shared_data: Path, portrait: np.ndarray) -> None:
    yunet = YuNetDetector(shared_data / "face_detection_yunet_2023mar.onnx")
    rolls = []
    for degrees in (-20.0, 0.0, 20.0):  # clockwise
        turn = cv2.getRotationMatrix2D((224, 119), -degrees, 1.0)
        (leaning,) = yunet.detect(cv2.warpAffine(portrait, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))
        assert leaning.roll is not None
        rolls.append(leaning.roll)
    assert rolls == sorted(rolls)
    assert rolls[2] - rolls[0] > 5.0
    assert [face.roll for face in HaarDetector().detect(portrait)] == [None]


@pytest.mark.parametrize(
    ("left_eye", "right_eye", "roll"),
    [((10, 10), (30, 10), 0.0), ((10, 10), (30, 30), 45.0), ((10, 30), (30, 10), -45.0), ((9, 9), (9, 9), None),
     ((math.nan, 1), (2, 3), None), ((math.inf, 1), (2, 3), None)],
)  # fmt: skip
def test_the_lean_is_the_angle_of_the_line_through_the_eyes_clockwise(
    left_eye: tuple[float, float], right_eye: tuple[float, float], roll: float | None
) -> None:
    assert _roll([0, 0, 40, 40, *left_eye, *right_eye]) == (roll if roll is None else pytest.approx(roll))


def test_two_faces_come_largest_first(detector: FaceDetector, portrait: np.ndarray) -> None:
    scene = np.full((300, 600), 128, np.uint8)
    scene[:, :300] = portrait[:300, 100:400]
    scene[30:270, 330:570] = cv2.resize(portrait[:300, 100:400], (240, 240))
    boxes = [face.box for face in detector.detect(scene)]
    assert len(boxes) == 2
    assert boxes[0].width > boxes[1].width


@pytest.mark.parametrize(
    ("row", "plausible"),
    [
        ((10, 10, 50, 60), True),
        ((-20, -20, 50, 60), True),
        ((300, 100, 50, 60), False),
        ((0, 0, 0, 60), False),
        ((-6e9, 260, 1.2e10, 75), False),
        ((-600, 0, 1200, 60), False),
        ((float("nan"), 0, 50, 60), False),
        ((0, 0, float("inf"), 60), False),
    ],
)
def test_a_box_that_no_face_in_the_picture_can_have_is_no_face(row: tuple[float, ...], *, plausible: bool) -> None:
    landmarks_and_score = (*[0.0] * 10, 0.9)
    assert _is_plausible((*row, *landmarks_and_score), (320, 200)) is plausible
    assert not _is_plausible((*row, *[0.0] * 10, float("nan")), (320, 200))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((1, 1), np.uint8), np.zeros((1, 2000), np.uint8), np.zeros((4320, 7680), np.uint8),
     np.full((480, 640, 3), 200, np.uint8), np.zeros((3, 3, 3), np.uint8)],
    ids=["1x1", "a line", "8K", "blank", "3x3"],
)  # fmt: skip
def test_a_picture_without_a_face_has_none(detector: FaceDetector, picture: np.ndarray) -> None:
    assert detector.detect(picture) == []


def test_a_detector_file_of_another_digest_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    path.write_bytes(b"not the pinned file")
    with pytest.raises(TrustError, match=r"detector\.onnx"):
        YuNetDetector(path)


def test_a_missing_detector_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make face-detector"):
        open_detector(tmp_path / "absent.onnx")


def test_without_a_file_the_detector_is_haar() -> None:
    assert open_detector(None).name == "haar"


def test_the_working_copy_keeps_the_shape_and_never_enlarges() -> None:
    for shape, small in (((480, 640), (240, 320)), ((100, 200), (100, 200)), ((4000, 10), (320, 1))):
        copy, scale = working_copy(np.zeros(shape, np.uint8))
        assert copy.shape == small
        assert scale == max(1.0, max(shape) / 320)
