"""Which files are pictures, by name and by first bytes."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vision.picture import decode_as_stored
from edge_vision.picture_file import is_picture_file

SCENE = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".gif", ".tiff", ".webp", ".avif", ".jp2"])
def test_a_picture_is_one_whatever_its_name_says(tmp_path: Path, ending: str) -> None:
    if not cv2.haveImageWriter(f"a{ending}"):
        pytest.skip(f"this OpenCV ({cv2.__version__}) writes no {ending}")
    path = tmp_path / "DSC0001"
    path.write_bytes(cv2.imencode(ending, SCENE)[1].tobytes())
    assert is_picture_file(path)
    assert decode_as_stored(path.read_bytes()).shape == SCENE.shape


@pytest.mark.parametrize("name", ["a.JPG", "a.jfif", "a.heic", "a.pnm", "a.dib"])
def test_what_ends_as_a_picture_is_meant_as_one_even_when_damaged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert is_picture_file(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0 0.5 0.5 1 1\n",
        b"P1 is the label",
        b"BM is a name",
        b'{"a": 1}',
        b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x18ftypisom",
    ],
    ids=["empty", "labels", "P1", "BM", "JSON", "sound", "film"],
)
@pytest.mark.parametrize("name", ["0.txt", "Thumbs.db", "notes"])
def test_what_lies_beside_pictures_is_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_picture_file(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert not is_picture_file(tmp_path / "pipe.png")
