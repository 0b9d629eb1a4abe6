"""A mistyped setting is named together with the one that was probably meant."""

from pathlib import Path

import pytest

from edge_contract.errors import UsageError
from train.evaluate import EvaluateParams
from train.params import load_section, section_from
from train.prepare import PrepareParams
from train.settings import TrainParams

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epoch": 3}, "`train` has no `epoch`: did you mean `epochs`?"),
        ({"augment": {"rotate": 3}}, "`train.augment` has no `rotate`: did you mean `rotation`?"),
        ({"epochs": "many"}, r"Expected `int`, got `str` - at `\$.epochs`"),
        ({"optimizer": "sdg"}, "Invalid enum value 'sdg'"),
        ({"step_average_decay": 1.0}, r"Expected `float` < 1.0 - at `\$.step_average_decay`"),
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
