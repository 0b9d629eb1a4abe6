"""What a retraining would do, without training: causes, release numbers, and the same id again."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.retraining import plan, record
from convert.retraining.record import Record, Request, Result
from convert.settings import GateSettings, RetrainSettings
from edge_contract.errors import UsageError
from train.loop.settings import Augment
from train.params import load_section, write_values

REQUEST = Request(cause="dark", field_digest="", champion="c" * 64, base="b" * 64)
NOW = msgspec.to_builtins(Augment())


@pytest.mark.parametrize("cause", plan.CAUSES)
def test_a_cause_only_ever_widens_the_augmentation_and_stays_within_its_settings(cause: str) -> None:
    changed = plan.augmentation(cause, NOW)
    assert all(changed[name] >= NOW[name] for name in NOW)
    assert msgspec.convert(changed, Augment) != Augment() or cause in ("", "mix")
    wide = msgspec.to_builtins(Augment(low_light=1.0, blur=5.0, rotation=90.0))
    assert plan.augmentation("dark", wide)["low_light"] == 1.0


@pytest.mark.parametrize(
    ("cause", "labelled", "said"),
    [
        ("covered", True, "needs a person"),
        ("turned", True, "needs a person"),
        ("mix", False, "nothing new without labels"),
        ("darkk", False, "did you mean `dark`"),
        ("$(touch ran)", False, "RETRAIN_CAUSE"),
    ],
)
def test_what_training_cannot_help_is_refused_in_a_sentence(cause: str, labelled: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("$", r"\$")):
        plan.check(cause, labelled=labelled)


@pytest.mark.parametrize(("cause", "labelled"), [("", False), ("dark", False), ("far", True), ("mix", True)])
def test_what_it_can_help_is_not(cause: str, labelled: bool) -> None:
    plan.check(cause, labelled=labelled)


@given(first=st.integers(1, 50), used=st.lists(st.integers(1, 50)))
def test_a_release_number_is_never_used_twice_and_only_grows(first: int, used: list[int]) -> None:
    found = plan.next_release(first, used)
    assert found not in used
    assert found >= first or used
    assert found > max(used, default=0)


def test_where_no_number_is_left_it_says_so() -> None:
    with pytest.raises(UsageError, match="no release number is left"):
        plan.next_release(1, [2**31 - 1])


def test_of_the_gate_nothing_but_its_champion_is_set(tmp_path: Path) -> None:
    """The gate's own limits are not the loop's."""
    sections = plan.sections(
        "dark", RetrainSettings(), augment=NOW, base="b.npz", field="f", field_digest="d", start="s", champion="c.ewm",
        release=7, packages="p",
    )  # fmt: skip
    assert set(sections.gate) == {"champion"}
    params = tmp_path / "params.yaml"
    params.write_bytes(Path("params.yaml").read_bytes())
    before = load_section(params, "gate", GateSettings)
    for name, values in msgspec.to_builtins(sections).items():
        write_values(params, name, values)
    assert msgspec.structs.replace(load_section(params, "gate", GateSettings), champion=before.champion) == before


def test_without_the_champions_network_training_takes_as_long_as_it_always_does() -> None:
    sections = plan.sections(
        "", RetrainSettings(epochs=2), augment=NOW, base="b", field="", field_digest="", start="", champion="c",
        release=1, packages="p",
    )  # fmt: skip
    assert "epochs" not in sections.train
    assert sections.train["start_from"] == ""


def test_the_same_id_with_something_else_is_refused_until_its_end_and_by_cause_after_it() -> None:
    begun = Record(request=REQUEST, name="emotion", release=6)
    other = msgspec.structs.replace(REQUEST, field_digest="f" * 64)
    record.refuse_another(begun, REQUEST, "night-1")
    with pytest.raises(UsageError, match="night-1 was begun with another labels"):
        record.refuse_another(begun, other, "night-1")
    ended = msgspec.structs.replace(begun, state="refused")
    record.refuse_another(ended, other, "night-1")  # labels that came later change no result
    with pytest.raises(UsageError, match="another cause"):
        record.refuse_another(ended, msgspec.structs.replace(REQUEST, cause="far"), "night-1")


def test_a_record_is_read_back_with_its_result_beside_it(tmp_path: Path) -> None:
    result = Result(package="a-6.ewm", name="a", release=6, digest="d" * 64, measured={"accuracy_after": 0.5})
    kept = Record(request=REQUEST, name="a", release=6, state="passed", result=result)
    record.write(kept, tmp_path / "run")
    assert record.read(tmp_path / "run") == kept
    assert msgspec.json.decode((tmp_path / "run" / record.RESULT).read_bytes())["measured"] == {"accuracy_after": 0.5}
    assert record.line(Result(reasons=("too bad",))) == '{"reasons":["too bad"]}'
    (tmp_path / "run" / record.RECORD).write_text("{}")
    with pytest.raises(UsageError, match="no record of a retraining"):
        record.read(tmp_path / "run")
    assert record.read(tmp_path / "none") is None
