"""From a source to the dataset file and its report."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.gate import faces_advice, faces_of
from edge_contract.errors import UsageError
from edge_contract.manifest import WHOLE, FaceCrop
from edge_vision.faces import open_detector
from edge_vision.framed import sample
from tests.train.data.test_class_folders import write_tree
from tests.train.data.test_csv_file import write_csv
from train.data import dataset
from train.data.report import readable
from train.prepare import PrepareParams, main, prepare


def pixels(value: int) -> str:
    return " ".join(str((value * 7 + i * (value + 1)) % 256) for i in range(2304))


@pytest.fixture
def fer(tmp_path: Path) -> Path:
    """Seven classes of 12 Training rows; row 2 also stands in PublicTest, rows 3 and 4 are equal but labelled apart."""
    rows = [f"{i % 7},{pixels(i)},Training" for i in range(84)]
    rows[2] = f"{2 % 7},{pixels(1)},Training"
    rows += [f"{i % 7},{pixels(i)},PublicTest" for i in (0, 100, 101)]
    rows += [f"5,{pixels(102)},PrivateTest"]
    return write_csv(tmp_path / "fer2013.csv", rows)


def test_training_rows_that_equal_a_test_picture_are_left_out_and_reported(fer: Path) -> None:
    data, report = prepare(PrepareParams(source=str(fer)))
    assert report.left_out_for_tests == ["fer2013.csv row 2"]
    digests = dataset.image_digests(data.images)
    tests = {digests[row] for name in ("test", "private") for row in data.split_indices(name)}
    assert not tests & {digests[row] for name in ("train", "selection") for row in data.split_indices(name)}
    assert report.duplicates_across == {"train and test": 1}


def test_repeated_and_conflicting_pictures_are_counted(fer: Path) -> None:
    _, report = prepare(PrepareParams(source=str(fer)))
    assert report.duplicates_within == {"train": 1}
    assert report.conflicting == ["fer2013.csv row 3 disgust, fer2013.csv row 4 fear"]


def test_every_class_stands_in_train_and_selection(fer: Path) -> None:
    data, report = prepare(PrepareParams(source=str(fer)))
    assert set(report.counts) == {"train", "selection", "test", "private"}
    assert min(report.counts["selection"].values()) >= 1
    assert sum(sum(counts.values()) for counts in report.counts.values()) == len(data.images)


def test_a_source_without_tests_gives_a_stratified_tenth() -> None:
    data, _ = prepare(PrepareParams(source="synthetic:700"))
    assert np.bincount(data.labels[data.split_indices("test")]).tolist() == [10] * 7
    assert np.bincount(data.labels[data.split_indices("selection")]).tolist() == [9] * 7


def test_up_to_max_bad_rows_are_left_out_and_one_more_stops(fer: Path) -> None:
    with fer.open("a") as file:
        file.write("9,1,Training\n3,1 2,Training\n")
    _, report = prepare(PrepareParams(source=str(fer), max_bad=2))
    assert [problem.place for problem in report.problems] == ["fer2013.csv row 90", "fer2013.csv row 91"]
    with pytest.raises(
        UsageError, match=r"2 unusable rows or files, prepare.max_bad allows 1: fer2013.csv row 90: 1 pixels"
    ):
        prepare(PrepareParams(source=str(fer), max_bad=1))


def test_a_class_that_only_stands_in_a_test_is_refused(tmp_path: Path) -> None:
    rows = [f"{i % 6},{pixels(i)},Training" for i in range(24)] + [f"6,{pixels(50)},PublicTest"]
    path = write_csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(UsageError, match="class `neutral` is empty in split train"):
        prepare(PrepareParams(source=str(path)))


def test_the_command_writes_a_file_that_loads_back_equal(fer: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(f"prepare: {{source: nothing, output: {tmp_path / 'data'}}}\n")
    assert main(["--params", str(params), "--source", str(fer)]) == 0
    written = dataset.load(tmp_path / "data" / "dataset.npz")
    expected, report = prepare(PrepareParams(source=str(fer)))
    assert (written.images == expected.images).all()
    assert (written.split == expected.split).all()
    assert written.label_names == expected.label_names
    assert written.source_digest == expected.source_digest
    stored = json.loads((tmp_path / "data" / "report.json").read_text())
    assert stored["counts"] == report.counts
    text = (tmp_path / "data" / "report.txt").read_text()
    assert text == readable(report)
    assert "1 training pictures were left out because they also stand in a test" in text


def test_the_same_source_gives_the_same_bytes(fer: Path, tmp_path: Path) -> None:
    data, _ = prepare(PrepareParams(source=str(fer)))
    dataset.save(data, tmp_path / "a.npz")
    dataset.save(prepare(PrepareParams(source=str(fer)))[0], tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_bad_input_writes_nothing_and_ends_with_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(f"prepare: {{source: nothing, output: {tmp_path / 'data'}}}\n")
    assert main(["--params", str(params)]) == 2
    assert capsys.readouterr().err.startswith("nothing does not exist")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_fer2013_itself_counts_as_published(shared_data: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, shared_data / "unpack", tmp_path], check=True)
    source, votes = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    data, report = prepare(PrepareParams(source=str(source), ferplus=str(votes)))
    assert list(report.counts["test"].values()) == [467, 56, 496, 895, 653, 415, 607]
    assert len(report.left_out_for_tests) == 316
    assert report.duplicates_within["train"] == 1127
    assert len(report.conflicting) == 42
    clear = data.majority_labels()
    assert 0.6 < (clear[clear >= 0] == data.labels[clear >= 0]).mean() < 0.75


@pytest.mark.parametrize("tests", ["test", ""])
def test_a_folder_for_validation_is_what_training_chooses_by(tmp_path: Path, tests: str) -> None:
    folders = {"Training/a": 20, "Training/b": 20, "Validation/a": 5, "Validation/b": 4}
    root = write_tree(tmp_path / "source", folders | ({f"{tests}/a": 3, f"{tests}/b": 3} if tests else {}))
    (root / "Training" / "a" / "copy.png").write_bytes((root / "Validation" / "a" / "0.png").read_bytes())
    data, report = prepare(PrepareParams(source=str(root)))
    assert report.counts["selection"] == {"a": 5, "b": 4}
    assert report.counts["test"] == ({"a": 3, "b": 3} if tests else {"a": 2, "b": 2})
    assert report.left_out_for_tests == ["Training/a/copy.png"]
    assert len(data.images) == sum(sum(counts.values()) for counts in report.counts.values())


def test_what_was_not_read_is_named_by_the_command_and_in_both_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_tree(tmp_path / "source", {"train/a": 9, "train/b": 9, "extra": 2})
    (root / "train" / "a" / "gone.png").symlink_to(tmp_path / "nothing.png")
    params = tmp_path / "params.yaml"
    params.write_text(f"prepare: {{source: '{root}', output: '{tmp_path / 'data'}'}}\n")
    assert main(["--params", str(params)]) == 0
    said = capsys.readouterr().out
    for text in (said, (tmp_path / "data" / "report.txt").read_text(), (tmp_path / "data" / "report.json").read_text()):
        assert "extra/: is none of the splits (train)" in text
        assert "train/a/gone.png: is a link to nothing" in text


def params_around(folder: Path, source: Path | str, around: str) -> Path:
    """A params file with these two settings; the dataset goes into the folder."""
    path = folder / "params.yaml"
    path.write_text(
        f"prepare:\n  source: '{source}'\n  output: '{folder / 'data'}'\npackage:\n  name: x\n  around: {around}\n"
    )
    (folder / "data").mkdir()
    return path


@pytest.mark.parametrize(("around", "warned"), [("face", True), ("frame", False)])
def test_pictures_that_show_no_faces_are_said_to_where_faces_would_be_searched(
    around: str, warned: bool, fer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = params_around(tmp_path, fer, around)
    assert main(["--params", str(params)]) == 0
    assert ("set package.around to `frame`" in capsys.readouterr().err) == warned
    whole = FaceCrop() if around == "face" else WHOLE
    assert bool(faces_advice(faces_of(tmp_path / "data" / "report.json"), whole)) == warned


def test_drawn_faces_are_faces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--params", str(params_around(tmp_path, "synthetic:210", "face"))]) == 0
    assert "Warning" not in capsys.readouterr().err
    assert faces_advice(faces_of(tmp_path / "data" / "report.json"), FaceCrop()) == ""
    assert faces_advice(faces_of(tmp_path / "none.json"), FaceCrop()) == ""


def test_the_tight_crops_of_fer2013_are_faces(shared_data: Path) -> None:
    packed = np.load(shared_data / "fer2013.npz")
    rows = np.asarray(cv2.imdecode(packed["mosaic_png"], cv2.IMREAD_GRAYSCALE))[: 48 * 10]
    pictures = rows.reshape(10, 48, 48, 48).transpose(0, 2, 1, 3).reshape(-1, 48, 48, 1)
    for seed in range(3):
        assert not sample(pictures, open_detector(None), seed).few
