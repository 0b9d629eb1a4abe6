"""The registry on a real MLflow store: states as aliases, tags as lineage, and a ledger that MLflow lacks."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from edge_contract import package as packages
from edge_contract.command_end import explained
from edge_contract.errors import EdgewiseError, GateRefusedError, TrustError, UsageError
from edge_contract.manifest import GateResult, Lineage
from edge_contract.package import ModelPackage
from edge_fleet.cli import app
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.mlflow import CHALLENGER, CHAMPION
from edge_fleet.registry.registry import Registry

pytestmark = pytest.mark.xdist_group("mlflow")

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made: seconds, once."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    Registry(f"sqlite:///{path}", Ledger(path.parent / "ledger.jsonl"), lambda: 0.0).versions()
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty store of this test's own; artifacts land below the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def registry(store: str, tmp_path: Path) -> Registry:
    return Registry(store, Ledger(tmp_path / "ledger.jsonl"), lambda: 1_700_000_000.0, actor="alice")


def package(release: int, *, passed: bool = True, source: str = "tiny-1.ewm", **lineage: str) -> ModelPackage:
    read = packages.read_file(FIXTURES / source)
    manifest = msgspec.structs.replace(
        read.manifest,
        name="tiny",
        release=release,
        gate=GateResult(passed=passed, reasons=() if passed else ("size: too large.",)),
        lineage=Lineage(**lineage),
    )
    return read._replace(manifest=manifest)


def test_registering_makes_a_challenger_with_its_lineage(registry: Registry) -> None:
    made = registry.register(package(1, git_commit="c" * 40, dvc_lock="d" * 64, params="e" * 64, dataset="fer"))
    assert made.aliases == (CHALLENGER,)
    assert made.digest == package(1).manifest.digest
    wanted = {"git_commit": "c" * 40, "dvc_lock": "d" * 64, "params": "e" * 64, "dataset": "fer", "gate": "passed"}
    assert made.tags.items() >= wanted.items()


def test_the_package_itself_is_the_run_s_artifact(registry: Registry, tmp_path: Path) -> None:
    made = registry.register(package(1))
    stored = list(tmp_path.glob(f"mlruns/*/{made.run}/artifacts/package/tiny-1.ewm"))
    assert [packages.read_file(path) for path in stored] == [package(1)]


def test_registering_again_changes_nothing(registry: Registry) -> None:
    assert registry.register(package(1)) == registry.register(package(1))
    assert len(registry.history()) == 1


def test_another_package_of_a_registered_release_is_refused(registry: Registry) -> None:
    registry.register(package(1))
    with pytest.raises(UsageError, match="next release number"):
        registry.register(package(1, source="tiny-2.ewm"))
    assert [version.digest for version in registry.versions()] == [package(1).manifest.digest]


def test_what_the_gate_refused_is_neither_registered_nor_promoted(registry: Registry) -> None:
    with pytest.raises(GateRefusedError, match=r"tiny-1\.ewm"):
        registry.register(package(1, passed=False))
    assert registry.versions() == []
    assert registry.history() == []


def test_promotion_moves_the_champion_and_says_after_whom(registry: Registry) -> None:
    for release, source in ((1, "tiny-1.ewm"), (2, "tiny-2.ewm")):
        registry.register(package(release, source=source))
        registry.promote("tiny", release, reason="better on the same images")
    champion = registry.champion("tiny")
    assert champion is not None
    assert champion.release == 2
    assert {version.release: version.aliases for version in registry.versions()} == {1: (), 2: (CHAMPION,)}
    told = [(entry.actor, entry.action, entry.subject["release"]) for entry in registry.history("tiny")]
    assert told == [
        ("alice", "register", "1"),
        ("alice", "promote", "1"),
        ("alice", "register", "2"),
        ("alice", "promote", "2"),
    ]
    assert registry.history()[-1].subject["before"] == "1"


def test_an_unknown_release_is_refused_with_what_there_is(registry: Registry) -> None:
    registry.register(package(1))
    with pytest.raises(UsageError, match="releases there: 1"):
        registry.promote("tiny", 7)
    with pytest.raises(UsageError, match="none"):
        registry.promote("unknown", 1)


def test_a_changed_ledger_stops_promotion_and_moves_nothing(registry: Registry) -> None:
    registry.register(package(1))
    registry.promote("tiny", 1)
    registry.register(package(2, source="tiny-2.ewm"))
    path = registry.ledger.path
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo", 1))
    with pytest.raises(TrustError, match="line 2"):
        registry.promote("tiny", 2)
    champion = registry.champion("tiny")
    assert champion is not None
    assert champion.release == 1


def test_a_ledger_cut_short_is_noticed(registry: Registry) -> None:
    registry.register(package(1))
    registry.promote("tiny", 1)
    path = registry.ledger.path
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(TrustError, match="cut off"):
        registry.history()


def test_a_digest_leads_back_to_its_package(registry: Registry) -> None:
    made = registry.register(package(1))
    registry.register(package(2, source="tiny-2.ewm"))
    assert registry.find(made.digest[:8]).release == 1
    assert registry.find(f"sha256:{made.digest}").release == 1
    for wrong in ("ffffff", "abc", "not a digest"):
        with pytest.raises(UsageError, match="digest"):
            registry.find(wrong)


def test_two_releases_of_one_file_do_not_answer_for_one_another(store: str, registry: Registry, tmp_path: Path) -> None:
    first, second = package(1, params="a" * 64), package(2, params="b" * 64)
    digest = registry.register(first).digest
    assert registry.register(second).digest == digest
    with pytest.raises(UsageError, match=r"released 2 times: tiny-1, tiny-2"):
        registry.find(digest)
    assert registry.find("tiny-1").tags["params"] == "a" * 64
    assert registry.version_of(second).release == 2
    with pytest.raises(UsageError, match="registered as another package"):
        registry.version_of(package(2, params="c" * 64))
    (tmp_path / "tiny-1.ewm").write_bytes(packages.write(first))
    said = run("lineage", str(tmp_path / "tiny-1.ewm"), store=store)
    assert "a" * 64 in said
    assert "tiny 2" not in said


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "mlruns"])
def test_a_store_that_mlflow_dropped_is_refused_by_name(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no registry"):
        Registry(uri, Ledger(tmp_path / "ledger.jsonl"), lambda: 0.0)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://127.0.0.1:9", Ledger(tmp_path / "ledger.jsonl"), lambda: 0.0)
    with pytest.raises(EdgewiseError, match=r"127\.0\.0\.1:9 failed to list models") as caught:
        registry.versions()
    assert "\n" not in str(caught.value)


def run(*arguments: str, store: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--registry", store, "--ledger", "ledger.jsonl"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_commands_tell_the_whole_chain(store: str, tmp_path: Path) -> None:
    made = package(3, git_commit="c" * 40, params="e" * 64, dataset="fer")
    (tmp_path / "tiny-3.ewm").write_bytes(packages.write(made))
    assert "challenger" in run("registry", "register", "tiny-3.ewm", store=store)
    assert "is champion" in run("registry", "promote", "tiny", "3", "--reason", "first", store=store)
    listed = json.loads(run("registry", "ls", "--json", store=store))
    assert [version["aliases"] for version in listed["versions"]] == [["champion"]]
    assert "c" * 40 in run("registry", "show", "tiny", "3", store=store)
    assert "first" in run("registry", "history", "tiny", store=store)
    chain = run("lineage", made.manifest.digest[:10], store=store)
    for said in (made.manifest.digest, "tiny 3 (champion)", "c" * 40, "e" * 64, "fer", "promoted tiny 3"):
        assert said in chain
    assert json.loads(run("lineage", "tiny-3.ewm", "--json", store=store))["release"] == 3


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (
            "bda7b8c39065",
            r"was written by an older MLflow .*; copy it, then run `mlflow db upgrade sqlite:///.*mlflow\.db`",
        ),
        ("ffffffffffff", "was written by a newer MLflow .*; install that MLflow here"),
    ],
)
@pytest.mark.parametrize("command", [["registry", "ls"], ["registry", "show", "tiny", "1"], ["lineage", "tiny-1"]])
def test_a_database_of_another_mlflow_is_a_sentence_with_what_to_do(
    store: str, tmp_path: Path, command: list[str], schema: str, sentence: str
) -> None:
    database = sqlite3.connect(tmp_path / "mlflow.db")
    database.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    database.commit()
    database.close()
    found = CliRunner().invoke(app, [*command, "--registry", store])
    assert isinstance(found.exception, EdgewiseError)
    assert re.search(sentence, str(found.exception))


@pytest.mark.parametrize("uri", ["sqlite:///{folder}/absent/x.db", "sqlite:///{folder}/text.db", "nothing://x"])
def test_what_is_no_store_is_a_sentence(tmp_path: Path, uri: str) -> None:
    (tmp_path / "text.db").write_text("this is no database, whatever its name says" * 30)
    (tmp_path / "absent").write_text("a file where a folder would be")
    found = CliRunner().invoke(app, ["registry", "ls", "--registry", uri.format(folder=tmp_path)])
    assert found.exception is not None
    assert isinstance(explained(found.exception), EdgewiseError)
