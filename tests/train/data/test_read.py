"""Each form of input is read; each way in which it can be wrong has its own sentence that names file and row."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_contract.errors import UsageError
from train.data import class_folders, csv_file, synthetic
from train.data.read import read_source
from train.data.rows import EMOTIONS, PictureFormat

GREY = PictureFormat()
PIXELS = " ".join(["7"] * 2304)
VOTE_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def write_csv(path: Path, rows: list[str], header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_tree(root: Path, folders: dict[str, int], size: tuple[int, int] = (48, 48)) -> Path:
    rng = np.random.default_rng(len(str(root)))
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(root / folder / f"{index}.png"), rng.integers(0, 256, size, dtype=np.uint8))
    return root


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
    path = write_csv(tmp_path / "f.csv", [f"1,{PIXELS}"], header="emotion,pixels")
    with pytest.raises(UsageError, match=r"f\.csv row 1: there is no column `Usage` among emotion, pixels"):
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


def test_a_tree_with_train_and_test_is_read_with_its_folder_names(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"train/dog": 3, "train/cat": 2, "test/dog": 1, "test/cat": 1})
    rows = class_folders.read(root, GREY)
    assert rows.label_names == ("cat", "dog")
    assert np.bincount(rows.split).tolist() == [5, 0, 2]
    assert rows.labels.tolist() == [1 if "dog" in place else 0 for place in rows.places]


def test_folders_named_after_the_emotions_keep_the_order_of_fer2013(tmp_path: Path) -> None:
    root = write_tree(tmp_path, dict.fromkeys(EMOTIONS, 1))
    assert class_folders.read(root, GREY).label_names == EMOTIONS


def test_pictures_of_another_size_are_scaled_and_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 1, "b": 1}, size=(30, 60))
    rows = class_folders.read(root, PictureFormat(colour="rgb"))
    assert rows.images.shape == (2, 48, 48, 3)
    assert [str(odd) for odd in rows.resized] == [
        "a/0.png: is 60x30, scaled to 48x48",
        "b/0.png: is 60x30, scaled to 48x48",
    ]


def test_colour_pictures_come_out_as_rgb(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        red = np.zeros((48, 48, 3), np.uint8)
        red[..., 2] = 200  # OpenCV writes blue, green, red
        cv2.imwrite(str(tmp_path / name / "red.png"), red)
    rows = class_folders.read(tmp_path, PictureFormat(colour="rgb"))
    assert rows.images[0, 0, 0].tolist() == [200, 0, 0]


def test_a_file_that_is_no_picture_is_left_out_and_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 2, "b": 2})
    (root / "a" / "notes.txt").write_text("hello")
    (root / "b" / "empty.png").write_bytes(b"")
    (root / "b" / ".DS_Store").write_bytes(b"x")
    rows = class_folders.read(root, GREY)
    assert [str(problem) for problem in rows.problems] == [
        "a/notes.txt: cannot be read as a picture",
        "b/empty.png: cannot be read as a picture",
    ]


def test_an_unknown_label_in_the_test_folder_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"train/a": 1, "train/b": 1, "test/c": 1})
    rows = class_folders.read(root, GREY)
    assert [str(problem) for problem in rows.problems] == ["test/c/0.png: label `c` has no folder under train/"]


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 2, "b": 0})
    with pytest.raises(UsageError, match="class `b` is empty"):
        class_folders.read(root, GREY)


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 1 class folders"):
        class_folders.read(write_tree(tmp_path, {"a": 2}), GREY)


def test_the_folder_digest_changes_with_one_byte(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 2, "b": 2})
    before = class_folders.read(root, GREY).digest
    assert class_folders.read(root, GREY).digest == before
    cv2.imwrite(str(root / "a" / "0.png"), np.zeros((48, 48), np.uint8))
    assert class_folders.read(root, GREY).digest != before


def test_synthetic_faces_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    first, again, other = (synthetic.read("synthetic:140", GREY, seed) for seed in (1, 1, 2))
    assert (first.images == again.images).all()
    assert first.digest == again.digest != other.digest
    assert (first.images != other.images).any()
    assert np.bincount(first.labels).tolist() == [20] * 7


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
