"""A mistyped setting is named together with the one that was probably meant."""

import re
from pathlib import Path

import msgspec
import pytest

from edge_contract.errors import UsageError
from train.loop.settings import TrainParams
from train.params import load_section, section_from, write_values
from train.prepare import PrepareParams
from train.scoring.settings import EvaluateParams

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epoch": 3}, "`train` has no `epoch`: did you mean `epochs`?"),
        ({"augment": {"rotate": 3}}, "`train.augment` has no `rotate`: did you mean `rotation`?"),
        ({"epochs": "many"}, "epochs must be a whole number, not a text"),
        ({"optimizer": "sdg"}, "optimizer must be one of sgd, adam, adamw, muon, not 'sdg'"),
        ({"step_average_decay": 1.0}, "step_average_decay must be a number less than 1"),
        ({"xyzzy": 1}, "valid are: augment, average_decay"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        section_from(values, "train", TrainParams)


def test_a_missing_section_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UsageError, match=r"params\.yaml does not exist"):
        load_section(path, "train", TrainParams)
    path.write_text("prepare: {}\n")
    with pytest.raises(UsageError, match="no section `train`"):
        load_section(path, "train", TrainParams)
    path.write_text("train: [\n")
    with pytest.raises(UsageError, match="is not YAML"):
        load_section(path, "train", TrainParams)


def test_the_repositorys_own_params_are_valid() -> None:
    path = REPOSITORY / "params.yaml"
    assert load_section(path, "train", TrainParams).network == "edge_cnn"
    assert load_section(path, "evaluate", EvaluateParams).output == "build/evaluate"
    assert load_section(path, "prepare", PrepareParams).selection_share == 0.1


def test_one_setting_can_be_said_otherwise_without_another_file() -> None:
    path = REPOSITORY / "train" / "recipes" / "emotion-5-student-1.yaml"
    written = load_section(path, "train", TrainParams)
    changes = ["seed=2", "augment.mixup=0.2", "network_options={pointwise: false}", "output=build/runs/a=b"]
    said = load_section(path, "train", TrainParams, changes)
    assert said == msgspec.structs.replace(
        written, seed=2, augment=msgspec.structs.replace(written.augment, mixup=0.2),
        network_options={**written.network_options, "pointwise": False}, output="build/runs/a=b",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("seed", "--set seed changes no setting; write a name, = and a value"),
        ("=2", "--set =2 changes no setting; write a name, = and a value"),
        ("augment.=2", "write a name, = and a value"),
        ("seed=[", "write a name, = and a value"),
        ("sed=2", "`train` has no `sed`: did you mean `seed`?"),
        ("augment.mixing=2", "`train.augment` has no `mixing`: did you mean `mixup`?"),
        ("seed.more=2", "seed must be a whole number, not a section"),
        ("epochs=many", "epochs must be a whole number, not a text"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_by_name(change: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        load_section(REPOSITORY / "params.yaml", "train", TrainParams, [change])


def test_writing_a_value_keeps_comments_and_every_other_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (REPOSITORY / "params.yaml").read_text()
    path.write_text(before)
    write_values(path, "prepare", {"source": "pictures: new", "ferplus": ""})
    assert load_section(path, "prepare", PrepareParams).source == "pictures: new"
    lines = list(zip(before.splitlines(), path.read_text().splitlines(), strict=True))
    assert [line.split(":")[0].strip() for line, now in lines if line != now] == ["source"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1E-3", 0.001), ("5e-4", 0.0005), ("-1e2", -100.0), ("+.5e+1", 5.0), ("1.e3", 1000.0)],
)
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{network_options: {{x: {text}}}}}\n")
    assert load_section(path, "train", TrainParams).network_options == {"x": value}
    path.write_text("train: {}\n")
    assert load_section(path, "train", TrainParams, [f"network_options.x={text}"]).network_options == {"x": value}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff\xfe", "is not YAML"),
        (b"train: {epochs: 1\0}", "is not YAML"),
        (b"train: " + b"[" * 5000, "is not YAML"),
        (b"train: {epochs: 1, epochs: 2}", "says `epochs` twice"),
        (b"train: {epochs: " + b"9" * 5000 + b"}", "is not YAML"),
        (b"train: {epochs: 2026-99-99}", "is not YAML"),
        (b"train: {[1]: 2}", "is not YAML"),
        (rb'train: {output: "\ud800"}', "output must be one line of text"),
        (b"train: {3: 2}", "`train` has no `3`"),
        (b"#" * (1 << 21), "larger than"),
        (b"- 1", "has no section `train`"),
        (b"train: &a {augment: *a}", "has no `augment`"),
    ],
    ids=[
        "bytes",
        "nul",
        "nested",
        "twice",
        "digits",
        "date",
        "list as key",
        "surrogate",
        "number",
        "large",
        "list",
        "circle",
    ],
)
def test_a_file_that_is_no_params_file_is_a_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "params.yaml").write_bytes(data)
    with pytest.raises(UsageError, match=sentence):
        load_section(tmp_path / "params.yaml", "train", TrainParams)


def test_windows_line_ends_and_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes("\ufefftrain:\r\n  epochs: 3\r\n".encode())
    assert load_section(tmp_path / "params.yaml", "train", TrainParams).epochs == 3


@pytest.mark.parametrize("text", ["e3", "1e", "1e3x", "0e-", "1.2.3e4"])
def test_a_name_with_an_e_is_no_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"train: {{experiment: {text}}}\n")
    assert load_section(path, "train", TrainParams).experiment == text


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TrainParams, {"batch_size": 0}), (TrainParams, {"epochs": 0}), (TrainParams, {"processes": 0}),
        (PrepareParams, {"height": 0}), (PrepareParams, {"width": -4}), (PrepareParams, {"height": 100_000}),
        (PrepareParams, {"selection_share": 1.0}), (PrepareParams, {"test_share": -0.1}),
        (PrepareParams, {"max_bad": -1}),
    ],
)  # fmt: skip
def test_a_number_outside_its_range_is_refused_by_name(kind: type[msgspec.Struct], values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        section_from(values, "section", kind)
