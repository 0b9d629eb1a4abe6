"""The face margin that `train.margin` prints is the one that turns a detector's box back into the dataset's frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from edge_contract.manifest import FaceCrop
from edge_vision.crop import face_square
from edge_vision.faces import Box, Face, HaarDetector, YuNetDetector
from edge_vision.framed import WORKING_SIDE, bordered
from train.margin import BORDERS, measure, relation, spread

Pixels = NDArray[np.uint8]


class Finder:
    """A camera-free detector: a face wherever there is the brightest square of a known size."""

    name = "finder"

    def detect(self, picture: Pixels) -> list[Face]:
        rows, columns = np.nonzero(picture > 200)
        if not len(rows):
            return []
        left, top = float(columns.min()), float(rows.min())
        return [Face(Box(left, top, float(columns.max() + 1 - left), float(rows.max() + 1 - top)), 1.0)]


def drawn(side: int = 48, *, face: int = 24, below: int = 4) -> Pixels:
    """A dark picture [1,side,side,1] with one bright square, `below` pixels under the middle."""
    picture = np.full((1, side, side, 1), 20, np.uint8)
    at = (side - face) // 2
    picture[:, at + below : at + below + face, at : at + face] = 255
    return picture


@pytest.mark.parametrize("face", [20, 30])
@pytest.mark.parametrize("below", [-4, 0, 6])
def test_the_margin_turns_the_found_box_back_into_the_pictures_own_square(face: int, below: int) -> None:
    results = measure(np.repeat(drawn(face=face, below=below), 40, axis=0), Finder())
    found = results[-1]
    assert found.margin.median == pytest.approx(48 / face, rel=0.05)
    assert found.shift_y.median == pytest.approx(-below / 48, abs=0.02)
    for border in BORDERS:
        whole, frame = bordered(drawn(face=face, below=below)[0], border)
        box = Finder().detect(whole)[0].box
        square = face_square(box, FaceCrop(margin=found.margin.median, shift_y=found.shift_y.median))
        room = 0.05 * frame.width
        assert abs(square.left - frame.left) < room
        assert abs(square.top - frame.top) < room
        assert abs(square.side - frame.width) < room


def test_a_border_repeats_the_edge_and_the_frame_is_where_the_picture_lies() -> None:
    picture = np.zeros((48, 48, 1), np.uint8)
    picture[:24] = 100
    picture[24:] = 200
    whole, frame = bordered(picture, 0.5)
    assert whole.shape == (WORKING_SIDE, WORKING_SIDE)
    inside = whole[int(frame.top) : int(frame.top + frame.height), int(frame.left) : int(frame.left + frame.width)]
    np.testing.assert_allclose(cv2.resize(inside, (48, 48), interpolation=cv2.INTER_AREA), picture[..., 0], atol=12)
    assert (whole[0] == 100).all()
    assert (whole[-1] == 200).all()


def test_relation_is_one_where_the_box_is_the_frame() -> None:
    frame = Box(10, 20, 96, 96)
    assert relation(frame, frame) == (1.0, 0.0, 0.0)
    assert relation(frame, Box(10, 44, 96, 48)) == (1.0, 0.0, 0.0)


def test_the_median_interval_holds_the_median_and_narrows_with_n() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.1, 4000)
    few, many = spread(values[:100]), spread(values)
    for found in (few, many):
        assert found.low <= found.median <= found.high
        assert found.quartile_1 < found.median < found.quartile_3
    assert many.high - many.low < (few.high - few.low) / 3


def test_pictures_without_faces_are_refused() -> None:
    with pytest.raises(UsageError, match="finds one face in 0 of 40 pictures, 30 are needed"):
        measure(np.full((40, 48, 48, 1), 20, np.uint8), Finder())


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_on_a_public_portrait_the_measured_margin_cuts_the_frame_it_was_measured_on(
    portrait: Pixels, detector: str, request: pytest.FixtureRequest
) -> None:
    if detector == "yunet":
        folder: Path = request.getfixturevalue("shared_data")
        finder: HaarDetector | YuNetDetector = YuNetDetector(folder / "face_detection_yunet_2023mar.onnx")
    else:
        finder = HaarDetector()
    # The portrait's face fills about these 110 pixels; framed 1.1 times as wide, it is a picture like FER2013's.
    face = max(finder.detect(portrait), key=lambda found: found.box.width).box
    side = 1.1 * max(face.width, face.height)
    left, top = round(face.left + face.width / 2 - side / 2), round(face.top + face.height / 2 - side / 2)
    framed = cv2.resize(portrait[top : top + round(side), left : left + round(side)], (48, 48))
    found = measure(np.repeat(framed[None, :, :, None], 30, axis=0), finder)[-1]
    # The detector's box moves with what surrounds the face, hence the tenth.
    assert found.margin.median == pytest.approx(1.1, abs=0.11)
    assert found.shift_y.median == pytest.approx(0.0, abs=0.06)
