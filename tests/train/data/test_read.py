"""Each form of input is read; each way in which it can be wrong has its own sentence that names file and row."""

from pathlib import Path

import pytest

from edge_contract.errors import UsageError
from train.data.read import read_source
from train.data.rows import PictureFormat

GREY = PictureFormat()


@pytest.mark.parametrize(
    "source", ["synthetic:", "synthetic:7", "synthetic:-5", "synthetic:many", "synthetic:9999999999"]
)
def test_a_senseless_number_of_faces_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="give a number of faces"):
        read_source(source, "", GREY, 0)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.csv does not exist"):
        read_source(str(tmp_path / "nothing.csv"), "", GREY, 0)


def test_votes_do_not_go_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave FERPLUS out"):
        read_source(str(tmp_path), "votes.csv", GREY, 0)


@pytest.mark.parametrize(
    "first", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x1f\x8b\x08 no tar", b"PK\x03\x04 broken"]
)
def test_an_archive_of_another_kind_is_named_as_one(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "faces.csv").write_bytes(first)
    with pytest.raises(UsageError, match=r"faces\.csv is an archive .*; unpack it"):
        read_source(str(tmp_path / "faces.csv"), "", GREY, 0)
