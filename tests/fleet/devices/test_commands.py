"""`edgewise device`: what its words mean. That a device does and answers is pinned with the agent."""

import pytest
from typer.testing import CliRunner

from edge_contract.errors import EdgewiseError
from edge_fleet.cli import app
from edge_fleet.devices.commands import arguments_of


def test_values_that_read_as_numbers_and_truth_are_such_and_the_rest_is_text() -> None:
    words = ["telemetry.interval_s=5", "a=2.5", "b=true", "c=false", "log.level=debug", "d=unset", "e=x=y", "f="]
    assert arguments_of(words) == {
        "telemetry.interval_s": 5, "a": 2.5, "b": True, "c": False, "log.level": "debug", "d": "unset", "e": "x=y",
        "f": "",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["telemetry.interval_s", "=5", ""])
def test_a_word_that_assigns_nothing_is_refused(word: str) -> None:
    with pytest.raises(EdgewiseError, match="KEY=VALUE"):
        arguments_of([word])


def test_every_command_of_the_contract_has_a_verb() -> None:
    told = CliRunner().invoke(app, ["device", "--help"]).output
    assert all(verb in told for verb in ("identify", "selftest", "rollback", "restart", "set"))
