"""What labels from the field say: the random stratum alone, weighted, capped a device, without what was erased."""

import csv
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fleet.loop import field
from edge_fleet.loop.field import Row, capped, facts, interval, read

HEADER = ["picture", "label", "device", "taken", "track", "stratum", "inclusion", "model", "answer", "annotators"]


def written(folder: Path, *rows: dict[str, object], tombstones: str = "") -> Path:
    defaults = {
        "picture": "a.png", "label": "happy", "device": "cam-1", "taken": 100.0, "track": 1, "stratum": "random",
        "inclusion": 0.5, "model": "emotion-5", "answer": "happy", "annotators": "maria",
    }  # fmt: skip
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, HEADER)
        table.writeheader()
        table.writerows(defaults | row for row in rows)
    if tombstones:
        (folder / "tombstones.csv").write_text(tombstones)
    return folder


def rows(**counts: int) -> list[Row]:
    return [
        Row("happy", name.replace("_", "-"), float(number), 0.5, "emotion-5", "happy")
        for name, count in counts.items()
        for number in range(count)
    ]


def test_only_the_random_stratum_of_this_release_counts(tmp_path: Path) -> None:
    written(
        tmp_path, {}, {"device": "cam-2"}, {"stratum": "uncertain"}, {"stratum": "disagreement"},
        {"model": "emotion-4"}, {"model": "emotion 5", "device": "cam-3"},
    )  # fmt: skip
    found = facts(read(tmp_path), "emotion-5", wanted=3, device_share=0.5, expected=0.7)
    assert (found.counted, found.problem, found.enough) == (3, "", True)


def test_what_was_erased_counts_no_more(tmp_path: Path) -> None:
    written(
        tmp_path, *({"taken": float(taken)} for taken in range(10)), {"device": "cam-2", "taken": 5.0},
        tombstones="device,from,until\ncam-1,3,5\ncam-1,8,\n",
    )  # fmt: skip
    kept = read(tmp_path).rows
    assert [row.taken for row in kept if row.device == "cam-1"] == [0, 1, 2, 5, 6, 7]
    assert len(kept) == 7


def test_a_tombstone_that_cannot_be_read_erases_too_much_and_not_too_little(tmp_path: Path) -> None:
    written(tmp_path, {}, tombstones="device,from,until\ncam-1,x,nan\n")
    assert read(tmp_path).rows == ()


@pytest.mark.parametrize(
    "bad",
    [
        {"inclusion": 0}, {"inclusion": "nan"}, {"inclusion": 1.5}, {"device": "Cam 1"}, {"taken": -1},
        {"taken": "inf"}, {"label": ""}, {"label": "x" * 65}, {"inclusion": ""},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_left_out_and_said(tmp_path: Path, bad: dict[str, object]) -> None:
    found = read(written(tmp_path, {}, bad))
    assert (len(found.rows), found.problem) == (1, f"1 rows of {tmp_path / 'labels.csv'} cannot be read")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'label,"\n', b"\0"])
def test_a_file_that_is_no_table_holds_no_labels_and_says_why(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    found = read(tmp_path)
    assert found.rows == ()
    assert "cannot be read" in found.problem


def test_no_folder_is_no_labels(tmp_path: Path) -> None:
    assert "edgewise labels export" in read(tmp_path / "missing").problem
    assert not facts(read(tmp_path), "emotion-5", wanted=10, device_share=1.0, expected=None).enough


def test_a_file_with_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "ROWS", 2)
    assert read(written(tmp_path, {}, {}, {})).rows == ()


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 60)), st.floats(0.05, 1.0))
@settings(max_examples=60)
def test_no_device_counts_for_more_than_its_share(counts: dict[str, int], share: float) -> None:
    kept = capped(rows(**counts), share)
    by_device = {name: sum(row.device == name for row in kept) for name in counts}
    assert all(count <= share * len(kept) + 1e-6 for count in by_device.values())
    most = max(by_device.values(), default=0)
    more = {name: min(counts[name], most + 1) for name in counts}  # the next larger number does not hold
    assert more == by_device or max(more.values()) > share * sum(more.values()) * (1 - 1e-9)


def test_a_poisoned_device_is_held_to_its_share_by_its_newest_rows() -> None:
    kept = capped(rows(cam_1=1000, cam_2=50, cam_3=50), 0.5)
    assert len(kept) == 200
    assert min(row.taken for row in kept if row.device == "cam-1") == 900
    assert capped(rows(cam_1=1000), 0.5) == []


def test_the_interval_covers_the_truth_where_faces_are_kept_unequally() -> None:
    """Hard faces are kept more often: counted plainly they would make the model look worse than it is."""
    draw, covered, plain = random.Random(7), 0, 0  # noqa: S311  # of a simulation
    for _ in range(200):
        kept = []
        for _ in range(800):
            hard = draw.random() < 0.3
            right, inclusion = draw.random() < (0.4 if hard else 0.9), 0.5 if hard else 0.1
            if draw.random() < inclusion:
                kept.append(Row("happy", "cam-1", 0.0, inclusion, "emotion-5", "happy" if right else "sad"))
        low, high = interval(kept)
        assert low is not None
        assert high is not None
        covered += low <= 0.75 <= high
        plain += low <= sum(row.label == row.answer for row in kept) / len(kept) <= high
    assert covered > 180
    assert plain < 120
