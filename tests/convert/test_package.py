"""The package: same input, same bytes; honest names; a release number is never used twice."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from convert import artifacts, gate, lineage, package
from convert.artifacts import Converted
from convert.checks import gate_record
from convert.checks.gate_record import GateRecord
from convert.settings import GateSettings, PackageSettings
from edge_contract import package as packages
from edge_contract.errors import GateRefusedError, UsageError
from edge_contract.manifest import Lineage
from edge_vision import goldens
from edge_vision.classifier import Classifier
from tests.convert.shapes import Trained
from train.params import load_section

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine

SETTINGS = PackageSettings(name="stripes", release=4, dataset="stripes", label_set="stripes", caveat="Drawn here.")
LINEAGE = Lineage(git_commit="c" * 40, dataset="stripes-3", trained_on="a test")


@pytest.fixture(scope="module")
def record(_converted: Path, trained: Trained) -> GateRecord:
    settings = GateSettings(required_runtimes=("litert",), timed=20)
    judged = gate.judge(artifacts.read(_converted), trained.data, settings, synthetic=False)
    assert judged.result.passed, judged.result.reasons
    return judged


def test_the_same_conversion_gives_the_same_bytes(converted: Converted, record: GateRecord) -> None:
    first, second = (packages.write(package.assemble(converted, record, SETTINGS, LINEAGE)) for _ in range(2))
    assert first == second


def test_a_slower_machine_gives_the_same_bytes(converted: Converted, record: GateRecord) -> None:
    checks = record.result.checks | {"latency_s": 0.09, "memory": 3e7}
    slower = msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, checks=checks))
    first, second = (package.assemble(converted, one, SETTINGS, LINEAGE) for one in (record, slower))
    assert packages.write(first) == packages.write(second)


def test_the_package_answers_its_goldens_and_says_what_it_is(
    converted: Converted, record: GateRecord, tmp_path: Path
) -> None:
    path = package.write(package.assemble(converted, record, SETTINGS, LINEAGE), tmp_path)
    assert path.name == "stripes-4.ewm"
    read = packages.read_file(path)
    manifest = read.manifest
    assert len(manifest.goldens) == 16
    assert goldens.check(Classifier(read.model, manifest, delegates=False), manifest, goldens.EXACT).ok
    assert goldens.check(Classifier(read.model, manifest), manifest, goldens.WITH_DELEGATES).ok
    assert manifest.accuracy is not None
    assert manifest.accuracy.int8.n == 500
    assert sum(manifest.reference.predictions.values()) == pytest.approx(1)
    assert sum(manifest.reference.confidence) == pytest.approx(1)
    assert sum(map(sum, manifest.reference.by_label.values())) == 500
    right = sum(map(sum, manifest.reference.right.values()))
    assert right / 500 == pytest.approx(manifest.accuracy.int8.accuracy)
    assert manifest.reference.sure_above is not None
    assert manifest.lineage == LINEAGE
    for said in ("stripes 4", "n = 500", "Drawn here.", manifest.digest, "c" * 40):
        assert said in read.card


def test_a_release_number_is_not_used_twice(converted: Converted, record: GateRecord, tmp_path: Path) -> None:
    assembled = package.assemble(converted, record, SETTINGS, LINEAGE)
    path = package.write(assembled, tmp_path)
    written = path.stat().st_mtime_ns
    assert package.write(assembled, tmp_path) == path  # the same again is nothing new
    other = package.assemble(converted, record, SETTINGS, Lineage(git_commit="d" * 40))
    with pytest.raises(UsageError, match="different package of the same release"):
        package.write(other, tmp_path)
    assert path.stat().st_mtime_ns == written


def test_what_the_gate_refused_is_not_packaged(converted: Converted, record: GateRecord) -> None:
    refused = msgspec.structs.replace(record.result, passed=False, reasons=("size: too large.",))
    with pytest.raises(GateRefusedError, match="size: too large"):
        package.assemble(converted, msgspec.structs.replace(record, result=refused), SETTINGS, LINEAGE)


def test_a_judgement_of_another_model_is_not_taken(converted: Converted, record: GateRecord) -> None:
    with pytest.raises(UsageError, match="another model"):
        package.assemble(converted, msgspec.structs.replace(record, digest="0" * 64), SETTINGS, LINEAGE)


@pytest.mark.parametrize(
    ("synthetic", "name", "dataset", "fits"),
    [
        (True, "synthetic", "synthetic faces", True),
        (True, "emotion", "synthetic faces", False),
        (True, "synthetic", "FER2013", False),
        (False, "synthetic", "FER2013", False),
        (False, "emotion", "synthetic faces", False),
    ],
)
def test_a_model_of_drawn_faces_says_so_and_no_other_does(
    converted: Converted, record: GateRecord, *, synthetic: bool, name: str, dataset: str, fits: bool
) -> None:
    judged = msgspec.structs.replace(record, measurements=replace(record.measurements, synthetic=synthetic))
    settings = msgspec.structs.replace(SETTINGS, name=name, dataset=dataset)
    if fits:
        assert package.assemble(converted, judged, settings, LINEAGE).file_name == f"{name}-4.ewm"
    else:
        with pytest.raises(UsageError, match="drawn faces"):
            package.assemble(converted, judged, settings, LINEAGE)


def test_settings_left_from_drawn_faces_are_refused_all_at_once(converted: Converted, record: GateRecord) -> None:
    left = load_section(Path(__file__).parents[2] / "params.yaml", "package", PackageSettings)
    with pytest.raises(
        UsageError, match=r"set package\.name, package\.dataset, package\.label_set, package\.caveat to"
    ):
        package.assemble(converted, record, left, LINEAGE)
    renamed = msgspec.structs.replace(left, name="digits", dataset="digits", label_set="digits")
    with pytest.raises(UsageError, match=r"set package\.caveat to what is true"):
        package.assemble(converted, record, renamed, LINEAGE)


@pytest.mark.parametrize("name", ["Emotion", "", "a/b"])
def test_a_name_that_no_topic_takes_is_refused(converted: Converted, record: GateRecord, name: str) -> None:
    with pytest.raises(UsageError, match="no valid manifest"):
        package.assemble(converted, record, msgspec.structs.replace(SETTINGS, name=name), LINEAGE)


def test_the_gate_s_record_reads_back_as_written(record: GateRecord, tmp_path: Path) -> None:
    gate_record.write(record, tmp_path)
    assert gate_record.read(tmp_path) == record


def test_lineage_is_empty_where_nothing_is_known(tmp_path: Path) -> None:
    nowhere = tmp_path / "absent"
    found = lineage.trace(tmp_path, params=nowhere, dataset="d", network="n", result=nowhere, trained_on="")
    assert found == Lineage(dataset="d")


def test_packaging_again_names_the_same_lock(tmp_path: Path) -> None:
    """DVC writes the package's own entry into the lock after the package: that must not make it another package."""
    stages = "schema: '2.0'\nstages:\n  gate:\n    cmd: python -m convert.gate\n"
    nowhere = tmp_path / "absent"

    def locked(text: str) -> str:
        (tmp_path / "dvc.lock").write_text(text)
        return lineage.trace(tmp_path, params=nowhere, dataset="d", network="n", result=nowhere, trained_on="").dvc_lock

    first = locked(stages)
    assert first
    assert locked(stages + "  package:\n    cmd: python -m convert.package\n") == first
    assert locked(stages.replace("gate", "gate2")) != first
    assert not locked("- not a lock")


def test_a_champion_that_is_better_on_the_same_images_is_not_replaced(
    converted: Converted, record: GateRecord, trained: Trained
) -> None:
    champion = package.assemble(converted, record, SETTINGS, LINEAGE)
    settings = GateSettings(required_runtimes=("litert",), timed=20)
    sound = gate.judge(converted, trained.data, settings, synthetic=False, champion=champion)
    assert sound.result.passed, sound.result.reasons
    drawn = gate.judge(converted, trained.data, settings, synthetic=True, champion=champion)
    assert [reason.partition(":")[0] for reason in drawn.result.reasons] == ["champion"]


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in ("train/fit.py", "params.yaml", "dvc.yaml", "docs/page.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("as committed\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "all")
    return folder


@pytest.mark.parametrize(
    ("changed", "dirty"),
    [
        ("", False), ("docs/page.md", False), ("params.yaml", True), ("train/fit.py", True), ("dvc.yaml", True),
        ("train/new.py", True), ("notes.txt", False),
    ],
)  # fmt: skip
def test_a_commit_that_does_not_hold_code_or_parameters_as_they_are_is_dirty(
    checkout: Path, changed: str, dirty: bool
) -> None:
    if changed:
        (checkout / changed).write_text("otherwise\n")
    found = lineage.trace(
        checkout, params=checkout / "params.yaml", dataset="d", network="n", result=checkout / "absent", trained_on=""
    )
    assert found.git_commit == git(checkout, "rev-parse", "HEAD") + "-dirty" * dirty


def test_parameters_that_no_commit_holds_make_it_dirty(checkout: Path, tmp_path: Path) -> None:
    for params in (tmp_path / "mine.yaml", checkout / "mine.yaml"):
        params.write_text("mine\n")
        found = lineage.trace(
            checkout, params=params, dataset="d", network="n", result=checkout / "absent", trained_on=""
        )
        assert found.git_commit.endswith("-dirty")


@pytest.mark.parametrize(("network", "run"), [("of this one", "r1"), ("of another one", "")])
def test_the_run_is_that_of_the_network_that_was_converted_or_none(tmp_path: Path, network: str, run: str) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"network": network, "mlflow_run": "r1"}))
    found = lineage.trace(
        tmp_path, params=tmp_path / "absent", dataset="d", network="of this one", result=tmp_path / "result.json",
        trained_on="",
    )  # fmt: skip
    assert found.mlflow_run == run
