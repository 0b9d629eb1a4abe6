"""A tree of class folders: its names, its order, and what cannot be used in it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.vision.test_picture_size import huge_jpeg
from train.data import class_folders
from train.data.rows import EMOTIONS, PictureFormat

GREY = PictureFormat()


def write_tree(root: Path, folders: dict[str, int], size: tuple[int, int] = (48, 48)) -> Path:
    rng = np.random.default_rng(len(str(root)))
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(root / folder / f"{index}.png"), rng.integers(0, 256, size, dtype=np.uint8))
    return root


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
        "a/0.png: is 60x30, its central square scaled to 48x48",
        "b/0.png: is 60x30, its central square scaled to 48x48",
    ]


def test_colour_pictures_come_out_as_rgb(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        red = np.zeros((48, 48, 3), np.uint8)
        red[..., 2] = 200  # OpenCV writes blue, green, red
        cv2.imwrite(str(tmp_path / name / "red.png"), red)
    rows = class_folders.read(tmp_path, PictureFormat(colour="rgb"))
    assert rows.images[0, 0, 0].tolist() == [200, 0, 0]


def test_a_damaged_picture_is_left_out_and_what_lies_beside_pictures_is_no_bad_one(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 2, "b": 2})
    for index in range(30):
        (root / "a" / f"{index}.txt").write_text("0 0.5 0.5 1 1")
    for name in ("Thumbs.db", "notes.json", "boxes.xml", "table.csv"):
        (root / "b" / name).write_text("hello")
    (root / "b" / "empty.png").write_bytes(b"")
    (root / "b" / ".DS_Store").write_bytes(b"x")
    rows = class_folders.read(root, GREY)
    assert [problem.place for problem in rows.problems] == ["b/empty.png"]
    assert [str(found) for found in rows.not_read] == [
        "a/: 30 .txt files beside the pictures",
        "b/: 1 .csv file beside the pictures",
        "b/: 1 .db file beside the pictures",
        "b/: 1 .json file beside the pictures",
        "b/: 1 .xml file beside the pictures",
        "b/: 1 hidden file beside the pictures",
    ]


def test_a_picture_of_more_pixels_than_memory_holds_is_left_out_and_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 1, "b": 1})
    (root / "a" / "huge.jpg").write_bytes(huge_jpeg())
    [problem] = class_folders.read(root, GREY).problems
    assert str(problem).startswith("a/huge.jpg: cannot be read as a picture (a picture of 16000x16000 pixels passes")


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


def test_pictures_of_twelve_bits_in_files_of_sixteen_are_not_black(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": 1, "b": 1})
    cv2.imwrite(str(root / "a" / "x.png"), np.full((48, 48), 4095, np.uint16))
    rows = class_folders.read(root, GREY)
    assert rows.images[rows.places.index("a/x.png")].min() == 255


def test_more_classes_than_a_label_can_name_are_refused(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {f"class {number}": 0 for number in range(300)})
    with pytest.raises(UsageError, match="300 class folders, and a dataset holds up to 256"):
        class_folders.read(root, GREY)
