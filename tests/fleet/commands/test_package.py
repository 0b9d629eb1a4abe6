"""`edgewise package` on real packages."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from edge_contract import package as packages
from edge_contract.errors import TrustError, UsageError
from edge_contract.manifest import Budget
from edge_fleet.cli import app
from edge_vision import confined_goldens

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
TINY = FIXTURES / "tiny-1.ewm"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["package", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_inspect_says_what_the_model_is() -> None:
    manifest = packages.read_file(TINY).manifest
    text = run("inspect", str(TINY))
    assert manifest.digest in text
    assert ", ".join(manifest.labels) in text
    data = json.loads(run("inspect", str(TINY), "--json"))
    assert data["digest"] == manifest.digest
    assert data["goldens"]["count"] == len(manifest.goldens)


def test_verify_runs_the_goldens() -> None:
    data = json.loads(run("verify", str(TINY), "--json"))
    assert data["goldens"] == len(packages.read_file(TINY).manifest.goldens)
    assert data["runtime"]
    assert json.loads(run("verify", str(TINY), "--structure-only", "--json"))["runtime"] is None


def test_verify_refuses_a_model_that_answers_otherwise(tmp_path: Path) -> None:
    read = packages.read_file(TINY)
    wrong = tuple(msgspec.structs.replace(one, output=one.output[::-1]) for one in read.manifest.goldens)
    other = read._replace(manifest=msgspec.structs.replace(read.manifest, goldens=wrong))
    (tmp_path / "other.ewm").write_bytes(packages.write(other))
    with pytest.raises(TrustError, match="goldens otherwise"):
        run("verify", str(tmp_path / "other.ewm"))


def test_verify_survives_a_model_that_wants_more_memory_than_its_budget() -> None:
    with pytest.raises(TrustError, match=r"vast-1\.ewm") as refused:
        run("verify", str(FIXTURES / "vast-1.ewm"))
    assert refused.value.remedy == "do not run it here"


def test_a_model_that_never_answers_ends_a_child_within_its_processor_time() -> None:
    endless = (FIXTURES / "endless-1.ewm").read_bytes()
    with pytest.raises(TrustError, match=r"endless-1.* used 2 s of the processor"):
        confined_goldens.check(endless, "endless-1.ewm", cpu_seconds=2)


def test_what_a_package_says_of_its_budget_gives_it_no_more_than_half_the_memory(tmp_path: Path) -> None:
    read = packages.read_file(FIXTURES / "vast-1.ewm")
    greedy = msgspec.structs.replace(read.manifest, budget=Budget(memory=2**52))
    (tmp_path / "greedy.ewm").write_bytes(packages.write(read._replace(manifest=greedy)))
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 128 * 2**30:
        pytest.skip("this machine has more memory than twice what the model wants")
    with pytest.raises(TrustError, match=r"greedy\.ewm"):
        run("verify", str(tmp_path / "greedy.ewm"))


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_flipped_byte_of_the_model_is_refused(tmp_path: Path, command: str) -> None:
    data = bytearray(TINY.read_bytes())
    place = data.index(packages.read_file(TINY).model) + 500
    data[place] ^= 1
    (tmp_path / "flipped.ewm").write_bytes(data)
    with pytest.raises((TrustError, UsageError), match=r"flipped\.ewm"):
        run(command, str(tmp_path / "flipped.ewm"))


def test_diff_names_what_differs_and_nothing_else() -> None:
    assert "the same" in run("diff", str(TINY), str(TINY))
    changed = json.loads(run("diff", str(TINY), str(FIXTURES / "tiny-2.ewm"), "--json"))["changed"]
    assert {"digest", "release"} <= changed.keys()
    assert "labels" not in changed


def test_a_file_that_is_no_package_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "no.ewm").write_bytes(b"PK nothing")
    with pytest.raises(UsageError, match=r"no\.ewm"):
        run("inspect", str(tmp_path / "no.ewm"))
