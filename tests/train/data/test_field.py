"""Labelled faces from devices: what is read, what is refused and why, and that no face is on two sides."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_contract.errors import UsageError
from tests.train.data.field_folder import NAMES, face, row, write_field
from train.data import dataset, field, field_rows
from train.data.dataset import Dataset
from train.data.report import DataReport, FieldReport, readable
from train.data.rows import FIELD, SELECTION, TEST, TRAIN, PictureFormat
from train.prepare import PrepareParams, main, prepare

FORM = PictureFormat()


def read(folder: Path) -> field.FieldData:
    return field.read(folder, NAMES, FORM, selection=0.1, held_out=0.3)


def base(train: int = 100) -> Dataset:
    """So many different training pictures, and twenty each for choosing and testing."""
    count = train + 40
    images = np.stack([face(number + 10_000) for number in range(count)])[..., None]
    split = np.repeat(np.array([TRAIN, SELECTION, TEST], np.uint8), [train, 20, 20])
    return Dataset(images, np.arange(count).astype(np.uint8) % 7, split, NAMES, np.zeros((count, 0), np.uint8), (), "b")


def test_every_usable_row_is_read_with_its_label_device_and_whether_chance_chose_it(tmp_path: Path) -> None:
    rows = [row(0, label="sad"), row(1, device="cam-2", stratum="uncertain", inclusion="1")]
    found = read(write_field(tmp_path / "field", rows))
    assert found.labels.tolist() == [NAMES.index("sad"), NAMES.index("happy")]
    assert found.devices == ["cam-1", "cam-2"]
    assert found.chance.tolist() == [True, False]
    np.testing.assert_array_equal(found.images[1, :, :, 0], face(1))
    assert found.problems == []


def test_a_picture_of_another_size_is_fitted_like_the_base_data(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "field", [row(0)])
    cv2.imwrite(str(folder / "pictures" / "p0.png"), np.full((96, 64), 90, np.uint8))
    assert read(folder).images.shape == (1, 48, 48, 1)


BAD = {
    "picture": ["../labels", "a/b", "", "..", "/etc/passwd", "p0\0"],
    "label": ["grumpy", "", "\x1b[31mhappy"],
    "device": ["", "Cam 1", "cam/1", "a" * 65],
    "taken": ["", "nan", "inf", "-1", "yesterday", "1e300"],
    "track": ["", "-1", "1.5", "9" * 19, "\u0663"],
    "stratum": ["", "chosen"],
    "inclusion": ["0", "-1", "1.01", "nan", ""],
}


@pytest.mark.parametrize(("column", "text"), [(column, text) for column, texts in BAD.items() for text in texts])
def test_a_hostile_row_is_left_out_by_name_and_the_others_stay(column: str, text: str, tmp_path: Path) -> None:
    rows = [row(0), row(1) | {column: text}, row(2)]
    found = read(write_field(tmp_path / "field", rows))
    (problem,) = found.problems
    assert problem.place == "field/labels.csv row 3"
    assert problem.reason.isprintable()
    assert len(found.labels) == 2


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(field.HEADER), st.text(max_size=40)))
def test_no_text_in_a_row_ends_the_reading_but_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, str]
) -> None:
    folder = write_field(tmp_path_factory.mktemp("f") / "field", [row(0) | changes])
    try:
        found = read(folder)
    except UsageError as error:
        assert error.remedy  # noqa: PT017 - either ends well
    else:
        assert len(found.labels) + len(found.problems) == 1


def test_the_same_picture_twice_and_one_that_is_gone_are_left_out(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "field", [row(0), row(0, label="sad"), row(1), row(2)])
    (folder / "pictures" / "p1.png").unlink()
    (folder / "pictures" / "p2.png").write_bytes(b"no picture")
    reasons = [problem.reason for problem in read(folder).problems]
    assert len(reasons) == 3
    assert "stands there already" in reasons[0]
    assert all(reason.startswith("its picture cannot be read") for reason in reasons[1:])


def test_what_a_tombstone_covers_is_left_out_and_counted_though_its_picture_is_there(tmp_path: Path) -> None:
    rows = [row(n, device=f"cam-{n % 2}", taken=str(1000.0 + n)) for n in range(8)]
    stones = [("cam-0", "1002", "1006"), ("cam-1", "", "")]
    found = read(write_field(tmp_path / "field", rows, stones))
    assert found.erased == {"cam-0": 2, "cam-1": 4}
    assert found.devices == ["cam-0", "cam-0"]  # at 1000 and at 1006: `until` is exclusive


@pytest.mark.parametrize("stone", [("cam 1", "", ""), ("cam-1", "soon", ""), ("cam-1", "5", "4"), ("cam-1", "nan", "")])
def test_a_tombstone_that_cannot_be_read_stops_everything(stone: tuple[str, str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tombstones\.csv row 2 says no device and time"):
        read(write_field(tmp_path / "field", [row(0)], [stone]))


@pytest.mark.parametrize("name", ["labels.csv", "tombstones.csv"])
@pytest.mark.parametrize("content", [None, "", "a,b\n", "\xff\xfe", '"'])
def test_a_table_that_is_missing_or_another_is_one_sentence(name: str, content: str | None, tmp_path: Path) -> None:
    folder = write_field(tmp_path / "field", [row(0)])
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=name):
        read(folder)


def test_no_face_is_in_two_splits_and_later_labels_move_none(tmp_path: Path) -> None:
    rows = [row(n, device=f"cam-{n % 3}", track=str(n // 6)) for n in range(300)]
    found = read(write_field(tmp_path / "field", rows))
    sides: dict[tuple[str, str], set[int]] = {}
    for one, split in zip(rows, found.split, strict=True):
        sides.setdefault((one["device"], one["track"]), set()).add(int(split))
    assert all(len(splits) == 1 for splits in sides.values())
    assert set(found.split) == {TRAIN, SELECTION, FIELD}
    assert 0.15 < (found.split == FIELD).mean() < 0.45
    fewer = read(write_field(tmp_path / "fewer", rows[:150]))
    np.testing.assert_array_equal(fewer.split, found.split[:150])


def test_one_device_counts_for_no_more_than_its_share_and_the_report_says_how_many_were_left_out(
    tmp_path: Path,
) -> None:
    rows = [row(n, device="cam-1" if n < 200 else "cam-2", track=str(n)) for n in range(220)]
    found = read(write_field(tmp_path / "field", rows))
    data, report = field_rows.join(base(train=100), found, 0.1)
    assert report.devices["cam-1"]["train"] == 10
    assert report.devices["cam-1"]["over_share"] > 100
    assert report.devices["cam-2"]["over_share"] <= 10
    training = np.intersect1d(data.split_indices("train"), data.of_origin("cam-1"))
    assert len(training) == 10
    again, _ = field_rows.join(base(train=100), found, 0.1)
    np.testing.assert_array_equal(again.images, data.images)


def test_what_stands_in_a_test_is_not_learned_from(tmp_path: Path) -> None:
    data = base()
    rows = [row(n, track=str(n)) for n in range(30)]
    folder = write_field(tmp_path / "field", rows)
    tested = data.images[data.split_indices("test")[0], :, :, 0]
    cv2.imwrite(str(folder / "pictures" / "p0.png"), tested)
    splits = read(folder).split
    held, learned = int(np.flatnonzero(splits == FIELD)[-1]), int(np.flatnonzero(splits == TRAIN)[-1])
    cv2.imwrite(str(folder / "pictures" / f"p{learned}.png"), face(held))
    joined, report = field_rows.join(data, read(folder), 1.0)
    assert report.devices["cam-1"]["in_a_test"] == 2
    digests = dataset.image_digests(joined.images)
    tests = {digests[at] for name in ("test", "private", "field") for at in joined.split_indices(name)}
    assert not tests & {digests[at] for name in ("train", "selection") for at in joined.split_indices(name)}


def test_prepare_marks_rows_of_devices_and_leaves_the_base_data_as_they_were(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "field", [row(n, device=f"cam-{n % 2}", track=str(n)) for n in range(40)])
    plain, _ = prepare(PrepareParams(source="synthetic:140"))
    data, report = prepare(PrepareParams(source="synthetic:140", field=str(folder)))
    kept = data.of_origin(dataset.BASE)
    np.testing.assert_array_equal(data.images[kept], plain.images)
    np.testing.assert_array_equal(data.split[kept], plain.split)
    assert data.origins == ("", "cam-0", "cam-1")
    assert data.source_digest != plain.source_digest
    assert report.field is not None
    assert "cam-0" in readable(report)
    dataset.save(data, tmp_path / "dataset.npz")
    again = dataset.load(tmp_path / "dataset.npz")
    for name in ("origin", "chance", "split"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_a_file_without_origins_is_of_the_base_data_alone(tmp_path: Path) -> None:
    plain, _ = prepare(PrepareParams(source="synthetic:140"))
    dataset.save(plain, tmp_path / "dataset.npz")
    read_again = dataset.load(tmp_path / "dataset.npz")
    assert len(read_again.of_origin("")) == len(plain.labels)
    assert len(read_again.of_origin("cam-1")) == 0


def test_the_dataset_file_is_a_source_with_the_same_splits(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(f"prepare: {{source: 'synthetic:140', output: '{tmp_path / 'data'}'}}\n")
    assert main(["--params", str(params)]) == 0
    folder = write_field(tmp_path / "field", [row(n, track=str(n)) for n in range(20)])
    first = dataset.load(tmp_path / "data" / "dataset.npz")
    again = PrepareParams(source=str(tmp_path / "data" / "dataset.npz"))
    data, report = prepare(again)
    np.testing.assert_array_equal(data.images, first.images)
    np.testing.assert_array_equal(data.split, first.split)
    assert data.source_digest == first.source_digest
    assert report.source == "synthetic:140"
    joined, _ = prepare(msgspec.structs.replace(again, field=str(folder)))
    assert len(joined.labels) >= len(first.labels)
    (tmp_path / "data" / "report.json").unlink()
    with pytest.raises(UsageError, match="does not say which pictures"):
        prepare(again)


def test_labels_that_changed_since_the_digest_was_noted_are_refused(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "field", [row(n, track=str(n)) for n in range(5)])
    noted = PrepareParams(source="synthetic:140", field=str(folder), field_digest=field.digest_of(folder))
    prepare(noted)
    write_field(folder, [row(n, track=str(n)) for n in range(5)], [("cam-1", "", "")])
    with pytest.raises(UsageError, match=r"are not those of prepare\.field_digest"):
        prepare(noted)


def test_the_report_counts_what_was_erased_of_a_device_that_has_nothing_left() -> None:
    of_devices = FieldReport({"cam-1": {"train": 3, "erased": 0}, "cam-2": {"erased": 4}}, [])
    text = readable(DataReport("d", {}, {}, [], [], [], [], [], field=of_devices))
    assert "cam-1: 3 for train" in text
    assert "cam-2: 4 erased" in text
