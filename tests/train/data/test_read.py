"""Each form of input is read; each way in which it can be wrong has its own sentence that names file and row."""

import shutil
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


@pytest.mark.parametrize("ending", ["zip", "gztar", "xztar"])
def test_an_archive_is_to_be_unpacked(tmp_path: Path, ending: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "fer2013.csv").write_text("emotion,pixels,Usage")
    made = shutil.make_archive(str(tmp_path / "faces"), ending, tmp_path / "tree")
    Path(made).rename(tmp_path / "faces.csv")
    with pytest.raises(UsageError, match="is an archive; unpack it"):
        read_source(str(tmp_path / "faces.csv"), "", GREY, 0)
