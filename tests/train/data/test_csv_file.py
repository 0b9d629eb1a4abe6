"""fer2013.csv and FER+: each way in which a row can be wrong has its own sentence that names file and row."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_contract.errors import UsageError
from train.data import csv_file
from train.data.rows import EMOTIONS, PictureFormat

GREY = PictureFormat()
PIXELS = " ".join(["7"] * 2304)
VOTE_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def write_csv(path: Path, rows: list[str], header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_csv_rows_become_pictures_labels_and_splits(tmp_path: Path) -> None:
    ramp = " ".join(str(i % 256) for i in range(2304))
    path = write_csv(tmp_path / "f.csv", [f"3,{ramp},Training", f"6,{PIXELS},PublicTest", f"0,{PIXELS},PrivateTest"])
    rows = csv_file.read(path, None, GREY)
    assert rows.images.shape == (3, 48, 48, 1)
    assert rows.images[0].ravel()[:300].tolist() == [i % 256 for i in range(300)]
    assert rows.labels.tolist() == [3, 6, 0]
    assert rows.split.tolist() == [0, 2, 3]
    assert rows.label_names == EMOTIONS


def test_csv_with_spaces_in_its_header_and_another_order_is_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [f"3,Training,{PIXELS}"], header="emotion, Usage, pixels")
    assert csv_file.read(path, None, GREY).labels.tolist() == [3]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"7,{PIXELS},Training", "label `7` is not a number from 0 to 6"),
        (f"happy,{PIXELS},Training", "label `happy` is not a number"),
        (f"-1,{PIXELS},Training", "label `-1` is not a number"),
        ("3,1 2 3,Training", r"3 pixels, not 2304 \(48x48\)"),
        ("3,,Training", "0 pixels, not 2304"),
        (f"3,{PIXELS} x,Training", "pixels are not numbers"),
        (f"3,{PIXELS[:-1]}999,Training", "a pixel is outside 0 to 255"),
        (f"3,{PIXELS},Test", "Usage is `Test`, not Training, PublicTest, PrivateTest"),
    ],
)
def test_a_bad_csv_row_is_left_out_and_named(tmp_path: Path, row: str, reason: str) -> None:
    path = write_csv(tmp_path / "faces.csv", [f"1,{PIXELS},Training", row])
    rows = csv_file.read(path, None, GREY)
    assert len(rows.images) == 1
    (problem,) = rows.problems
    assert problem.place == "faces.csv row 3"
    assert re.search(reason, problem.reason)


def test_a_missing_column_is_named_with_file_and_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", ["1,Training"], header="emotion,Usage")
    with pytest.raises(UsageError, match=r"f\.csv row 1: there is no column `pixels` among emotion, usage"):
        csv_file.read(path, None, GREY)


def test_a_csv_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", ["9,1 2,Training"])
    with pytest.raises(UsageError, match=r"no usable row; the first: f\.csv row 2"):
        csv_file.read(path, None, GREY)


def test_a_picture_is_not_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.zeros((48, 48), np.uint8))
    with pytest.raises(UsageError, match=r"is not a CSV file|there is no column"):
        csv_file.read(path, None, GREY)


def test_votes_are_joined_row_for_row(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [f"3,{PIXELS},Training", f"9,{PIXELS},Training", f"4,{PIXELS},PublicTest"])
    votes = write_csv(
        tmp_path / "v.csv",
        ["Training,a,1,9,0,0,0,0,0,0,0,0", "Training,b,0,0,0,0,0,0,0,0,0,10", "PublicTest,c,0,0,0,8,2,0,0,0,0,0"],
        header=VOTE_HEADER,
    )
    rows = csv_file.read(path, votes, GREY)
    # The second row has a bad label, and its votes leave with it.
    assert rows.votes.tolist() == [[1, 9, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 8, 2, 0, 0, 0, 0, 0]]
    assert rows.vote_names[:4] == ("neutral", "happy", "surprise", "sad")


@pytest.mark.parametrize(
    ("vote_rows", "sentence"),
    [
        (["Training,a,1,9,0,0,0,0,0,0,0,0"], "v.csv ends at row 2"),
        (["Training,a,1,9,0,0,0,0,0,0,0,0"] * 3, "v.csv has 3 rows, .*f.csv has 2"),
        (["PublicTest,a,1,9,0,0,0,0,0,0,0,0"] * 2, "v.csv row 2 says PublicTest"),
    ],
)
def test_votes_of_another_file_are_refused(tmp_path: Path, vote_rows: list[str], sentence: str) -> None:
    path = write_csv(tmp_path / "f.csv", [f"3,{PIXELS},Training"] * 2)
    votes = write_csv(tmp_path / "v.csv", vote_rows, header=VOTE_HEADER)
    with pytest.raises(UsageError, match=sentence):
        csv_file.read(path, votes, GREY)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "EMOTION,Pixels,usage", " emotion , pixels ,USAGE"])
def test_a_table_as_spreadsheets_write_it_is_read(tmp_path: Path, header: str, delimiter: str, mark: str) -> None:
    rows = [f"3,{PIXELS},Training", f"6,{PIXELS},publictest"]
    path = tmp_path / "f.csv"
    path.write_text(mark + "\n".join([header, *rows]).replace(",", delimiter), encoding="utf-8")
    votes = tmp_path / "votes.csv"
    numbers = ["Training,a,1,2,3,4,5,6,7,8,9,0", "PublicTest,b,1,2,3,4,5,6,7,8,9,0"]
    votes.write_text(mark + "\n".join([VOTE_HEADER, *numbers]).replace(",", delimiter), encoding="utf-8")
    read = csv_file.read(path, votes, GREY)
    assert (read.labels.tolist(), read.split.tolist(), read.problems) == ([3, 6], [0, 2], [])
    assert read.votes[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_without_a_usage_all_are_training_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "icml.csv", [f"3,{PIXELS}", f"6,{PIXELS}"], header="emotion,pixels")
    read = csv_file.read(path, None, GREY)
    assert read.split.tolist() == [0, 0]
