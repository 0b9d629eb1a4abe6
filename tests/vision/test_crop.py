"""The one crop in the world: which square, what beyond the edge, which pixels in the tensor."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_contract.errors import UsageError
from edge_contract.manifest import FaceCrop, ImageInput
from edge_vision.crop import Square, face_crop, face_square
from edge_vision.picture import Box

GRAY = ImageInput(height=48, width=48, color="gray")
RGB = ImageInput(height=48, width=48, color="rgb")
PLAIN = FaceCrop(margin=1.0, shift_y=0.0)


def crop(picture: np.ndarray, box: Box, image: ImageInput = GRAY, how: FaceCrop = PLAIN) -> np.ndarray:
    out = np.full(image.shape, 77, np.uint8)
    face_crop(picture, box, image, how, out)
    return out[0]


@pytest.mark.parametrize(
    ("box", "how", "square"),
    [
        (Box(10, 20, 30, 30), PLAIN, Square(10, 20, 30)),
        (Box(10, 20, 20, 30), PLAIN, Square(5, 20, 30)),
        (Box(10, 20, 30, 30), FaceCrop(margin=2.0, shift_y=0.0), Square(-5, 5, 60)),
        (Box(10, 20, 100, 100), FaceCrop(margin=1.0, shift_y=0.1), Square(10, 30, 100)),
        (Box(0, 0, 0.2, 0.2), PLAIN, Square(0, 0, 1)),
    ],
    ids=["square", "tall box, centred", "margin", "shifted down", "at least a pixel"],
)
def test_the_square_follows_box_and_manifest(box: Box, how: FaceCrop, square: Square) -> None:
    assert face_square(box, how) == square


def test_a_crop_of_the_tensors_own_size_is_the_pixels_themselves() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (100, 90), np.uint8)
    assert np.array_equal(crop(picture, Box(7, 11, 48, 48))[:, :, 0], picture[11:59, 7:55])


def test_shrinking_averages_areas_and_enlarging_is_bilinear() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (96, 96), np.uint8)
    halved = picture.reshape(48, 2, 48, 2).mean(axis=(1, 3))
    assert np.abs(crop(picture, Box(0, 0, 96, 96))[:, :, 0] - halved).max() <= 0.5
    enlarged = cv2.resize(picture[:24, :24], (48, 48), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(crop(picture, Box(0, 0, 24, 24))[:, :, 0], enlarged)


def test_a_manifest_that_says_bilinear_gets_bilinear_when_shrinking_too() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (480, 480), np.uint8)
    bilinear = ImageInput(height=48, width=48, color="gray", resize="bilinear")
    expected = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(crop(picture, Box(0, 0, 480, 480), bilinear)[:, :, 0], expected)


def test_the_border_is_repeated_beyond_the_edge_as_opencv_would() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (60, 60), np.uint8)
    padded = cv2.copyMakeBorder(picture, 50, 50, 50, 50, cv2.BORDER_REPLICATE)
    for left, top in ((-30, -20), (40, 35), (-30, 40), (20, -10)):
        expected = padded[50 + top : 98 + top, 50 + left : 98 + left]
        assert np.array_equal(crop(picture, Box(left, top, 48, 48))[:, :, 0], expected)


def test_a_box_wholly_outside_sees_the_edge() -> None:
    picture = np.zeros((20, 20), np.uint8)
    picture[:, -1] = 200
    assert crop(picture, Box(100, 0, 16, 16)).min() == 200


def test_colour_becomes_grey_for_a_grey_model_and_rgb_for_an_rgb_model() -> None:
    picture = np.full((60, 60, 3), (10, 20, 200), np.uint8)
    assert crop(picture, Box(0, 0, 50, 50), GRAY).max() == cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[0, 0]
    assert crop(picture, Box(0, 0, 50, 50), RGB)[5, 5].tolist() == [200, 20, 10]
    assert crop(picture[:, :, 0], Box(0, 0, 50, 50), RGB)[5, 5].tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("picture", "box", "names"),
    [
        (np.zeros((0, 10), np.uint8), Box(0, 0, 5, 5), "no picture"),
        (np.zeros((10, 10), np.uint16), Box(0, 0, 5, 5), "uint16"),
        (np.zeros((10, 10, 4), np.uint8), Box(0, 0, 5, 5), "no picture"),
        (np.zeros((10, 10), np.uint8), Box(0, 0, 0, 5), "no box"),
        (np.zeros((10, 10), np.uint8), Box(0, 0, -3, 5), "no box"),
        (np.zeros((10, 10), np.uint8), Box(math.nan, 0, 5, 5), "no box"),
        (np.zeros((10, 10), np.uint8), Box(0, 0, math.inf, 5), "no box"),
        (np.zeros((10, 10), np.uint8), Box(0, 0, 1e6, 5), "1000000 pixels"),
    ],
)
def test_what_cannot_be_cropped_is_refused_and_the_tensor_left_alone(picture: np.ndarray, box: Box, names: str) -> None:
    out = np.full(GRAY.shape, 77, np.uint8)
    with pytest.raises(UsageError, match=names):
        face_crop(picture, box, GRAY, PLAIN, out)
    assert (out == 77).all()


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60))
    | st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)),
    box=st.builds(Box, st.floats(-200, 200), st.floats(-200, 200), st.floats(0.01, 60), st.floats(0.01, 60)),
    image=st.sampled_from([GRAY, RGB]),
)
def test_any_box_of_any_picture_fills_the_tensor_with_that_pictures_values(
    shape: tuple[int, ...], box: Box, image: ImageInput
) -> None:
    picture = np.random.default_rng(1).integers(100, 120, shape, np.uint8)
    assume(face_square(box, FaceCrop()).side <= 4 * max(shape[:2]))
    tensor = crop(picture, box, image, FaceCrop())
    assert tensor.min() >= 99
    assert tensor.max() <= 120
