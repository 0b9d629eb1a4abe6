"""What a tree of folders is taken for: splits, classes, pictures, and what is named as not read."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_contract.errors import UsageError
from train.data.dataset import SPLITS
from train.data.folder_layout import Layout, split_of, survey

NAMES = {
    "train": ["train", "training", "Train", "TRAINING", "train_set", "training-set", "Train Images", "train2017"],
    "selection": ["val", "valid", "validation", "dev", "eval", "Validation", "VAL", "val2017", "validation_set"],
    "test": ["test", "testing", "Test", "tests", "test_set", "TestImages", "PublicTest", "test-data"],
    "private": ["private", "PrivateTest"],
}


def tree(root: Path, folders: dict[str, int]) -> Path:
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            (root / folder / f"{index}.png").touch()
    return root


def counts(layout: Layout) -> dict[str, dict[str, int]]:
    return {
        split: dict(Counter(file.label for file in layout.files if SPLITS[file.split] == split))
        for split in SPLITS
        if any(SPLITS[file.split] == split for file in layout.files)
    }


@settings(max_examples=40)
@given(st.fixed_dictionaries(
    {"train": st.sampled_from(NAMES["train"])},
    optional={split: st.sampled_from(names) for split, names in NAMES.items() if split != "train"},
))  # fmt: skip
def test_the_usual_names_in_any_case_are_splits_and_no_classes(used: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = tree(Path(folder), {f"{name}/{label}": 2 for name in used.values() for label in ("cat", "dog")})
        layout = survey(root)
    assert layout.classes == ("cat", "dog")
    assert counts(layout) == {split: {"cat": 2, "dog": 2} for split in used}
    assert (layout.not_read, layout.problems) == ([], [])


@pytest.mark.parametrize("name", ["cat", "trainer", "bullet_train", "test tube", "valve", "private eye", "", "2017"])
def test_other_names_are_no_splits(name: str) -> None:
    assert split_of(name) is None


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["Test", "validation"], "no folder `train`"),
        (["cat", "dog", "test"], "holds `test`, which is named like a split"),
        (["train/cat", "train/dog", "train/val"], "`val`, named like a split where a class should be"),
        (["train/train/cat", "train/train/dog", "test/cat"], "`train`, named like a split where"),
        (["seg_train/cat", "seg_test/cat"], "`seg_test` and `seg_train`, named like a split"),
        (["train/cat", "Training/dog"], "which are the same split"),
        (["train/cat", "train/dog", "val/cat", "valid/dog"], "which are the same split"),
        (["cat/train", "cat/test", "dog/train"], "named like splits"),
    ],
)
def test_a_split_that_would_become_a_class_is_refused(tmp_path: Path, folders: list[str], names: str) -> None:
    with pytest.raises(UsageError, match=names):
        survey(tree(tmp_path, dict.fromkeys(folders, 1)))


def test_what_lies_beside_the_splits_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path, {"train/cat": 1, "train/dog": 1, "unlabelled": 3, "test": 1, "__MACOSX/cat": 1, ".git": 1})
    (root / "cover.jpg").touch()
    (root / "README.md").touch()
    assert sorted(str(found) for found in survey(root).not_read) == [
        ".git/: is hidden or made by a tool",
        "__MACOSX/: is hidden or made by a tool",
        "cover.jpg: 1 picture in no class folder",
        "test/0.png: 1 picture in no class folder",
        "test/: holds no picture in a class folder",
        "unlabelled/: is none of the splits (test, train)",
    ]


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".thumbnails", "thumbs", "@eaDir", "__MACOSX"])
def test_a_tools_folder_inside_a_class_is_not_counted_and_others_are(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path, {"cat": 1, f"cat/{name}": 2, f"cat/session 1/{name}": 2, "cat/session 2": 3, "dog": 1})
    layout = survey(root)
    assert counts(layout) == {"train": {"cat": 4, "dog": 1}}
    assert [found.place for found in layout.not_read] == [f"cat/{name}/", f"cat/session 1/{name}/"]


def test_links_are_followed_and_each_file_is_counted_once(tmp_path: Path) -> None:
    pool = tree(tmp_path, {"pool/more": 2}) / "pool"
    root = tree(tmp_path / "data", {"cat": 2, "cat/own": 1, "dog": 1})
    (root / "cat" / "linked folder").symlink_to(pool / "more")
    (root / "cat" / "again").symlink_to(pool / "more")
    (root / "cat" / "a.png").symlink_to(pool / "more" / "0.png")
    (root / "cat" / "own link").symlink_to(root / "cat" / "own")
    (root / "cat" / "to itself").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "gone.png").symlink_to(pool / "nothing.png")
    (root / "bird").symlink_to(pool / "more")
    layout = survey(root)
    assert counts(layout) == {"train": {"cat": 5, "dog": 1, "bird": 2}}
    assert len({os.path.realpath(file.path) for file in layout.files if file.label == "cat"}) == 5
    assert [str(found) for found in layout.problems] == ["cat/gone.png: is a link to nothing"]
    assert sorted(found.place for found in layout.not_read) == [
        "cat/again/0.png", "cat/linked folder/", "cat/own link/", "cat/to itself/", "cat/up/",
    ]  # fmt: skip


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter: pytest's own are closed to all others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_opened_is_named_and_not_passed_over(open_folder: Path) -> None:
    root = tree(open_folder, {"cat": 1, "cat/closed": 2, "dog": 1})
    (root / "cat" / "closed").chmod(0)
    user = os.geteuid()
    if user == 0:  # who may open everything
        os.seteuid(65534)
    try:
        layout = survey(root)
    finally:
        os.seteuid(user)
        (root / "cat" / "closed").chmod(0o755)
    assert counts(layout) == {"train": {"cat": 1, "dog": 1}}
    assert [str(problem) for problem in layout.problems] == ["cat/closed/: cannot be read (Permission denied)"]
