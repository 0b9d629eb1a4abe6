"""What a camera or file may hand over: taken in one form, or refused by name."""

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.errors import UsageError
from edge_vision.picture import LARGEST_BYTES, as_gray, as_picture, decode, decode_as_stored


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((3, 5), np.uint8), (3, 5)),
        (np.zeros((3, 5, 1), np.uint8), (3, 5)),
        (np.zeros((3, 5, 3), np.uint8), (3, 5, 3)),
        (np.zeros((3, 5, 4), np.uint8), (3, 5, 3)),
        (np.zeros((1, 1), np.uint8), (1, 1)),
        (np.zeros((4320, 7680), np.uint8), (4320, 7680)),
    ],
    ids=["grey", "grey with an axis too many", "BGR", "BGRA", "one pixel", "8K"],
)
def test_forms_that_cameras_give_become_a_picture(array: np.ndarray, shape: tuple[int, ...]) -> None:
    assert as_picture(array).shape == shape


def test_sixteen_bits_keep_the_upper_eight() -> None:
    assert as_picture(np.array([[0x0000, 0x12FF, 0xFFFF]], np.uint16)).tolist() == [[0x00, 0x12, 0xFF]]


@pytest.mark.parametrize(
    ("array", "names"),
    [
        (np.zeros((0, 5), np.uint8), r"\[0, 5\]"),
        (np.zeros(7, np.uint8), r"\[7\]"),
        (np.zeros((3, 5, 2), np.uint8), r"\[3, 5, 2\]"),
        (np.zeros((3, 5), np.float32), "float32"),
        (np.zeros((3, 5), np.int16), "int16"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), "9000x9000"),
    ],
    ids=["empty", "a row", "two channels", "float", "signed", "too large"],
)
def test_what_is_no_picture_is_refused_by_name(array: np.ndarray, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        as_picture(array)


def test_a_colour_jpeg_decodes_to_its_grey_plane_alone() -> None:
    color = np.full((16, 16, 3), (10, 200, 60), np.uint8)
    data = cv2.imencode(".jpg", color)[1].tobytes()
    assert decode(data, gray=True).shape == (16, 16)
    assert abs(int(decode(data, gray=True)[8, 8]) - int(as_gray(color)[8, 8])) <= 2
    assert decode(data, gray=False).shape == (16, 16, 3)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_picture_or_refused(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        assert decode(data, gray=True).ndim == 2


@given(st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_jpeg_is_a_picture_or_refused(at: int, value: int) -> None:
    data = bytearray(cv2.imencode(".jpg", np.arange(256, dtype=np.uint8).reshape(16, 16))[1].tobytes())
    data[at % len(data)] = value
    with contextlib.suppress(UsageError):
        assert decode(bytes(data), gray=True).dtype == np.uint8


def test_too_many_bytes_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(UsageError, match="are decoded"):
        decode(bytes(LARGEST_BYTES + 1), gray=True)


@given(st.sampled_from([8, 10, 12, 14, 16]), st.sampled_from([".png", ".tiff"]), st.booleans())
def test_a_file_of_sixteen_bits_keeps_the_upper_eight_that_its_sensor_has(bits: int, form: str, colour: bool) -> None:
    wanted = np.random.default_rng(bits).integers(0, 256, (9, 7, 3) if colour else (9, 7)).astype(np.uint8)
    wanted[0, 0], wanted[0, 1] = 255, 0
    stored = wanted.astype(np.uint16) << (bits - 8)
    data = cv2.imencode(form, stored)[1].tobytes()
    assert np.array_equal(decode_as_stored(data), wanted)
    assert np.array_equal(decode(data, gray=True), as_gray(wanted))
    assert np.array_equal(as_gray(decode(data, gray=False)), as_gray(wanted))


def test_the_bits_of_a_colour_file_are_those_of_its_brightest_colour() -> None:
    blue = np.zeros((4, 4, 3), np.uint16)
    blue[..., 0] = 4095
    data = cv2.imencode(".png", blue)[1].tobytes()
    assert decode(data, gray=False)[0, 0].tolist() == [255, 0, 0]
    assert decode(data, gray=True)[0, 0] == 29


def test_a_black_file_of_sixteen_bits_is_black() -> None:
    assert not decode(cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes(), gray=True).any()
