"""The stages `gate` and `package` as commands: their exit codes, what they say, and what they leave behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from convert import artifacts, gate, package
from convert.artifacts import Converted
from convert.checks import gate_record
from edge_contract import package as packages
from edge_contract.errors import ExitCode
from edge_contract.manifest import FACES_FOUND
from tests.convert.shapes import Trained
from tests.test_damaged_package import DAMAGED

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


def settings(folder: Path, **limits: float) -> Path:
    """Parameters for a gate that asks the reference runtime alone."""
    chosen = {"required_runtimes": ["litert"], "timed": 20, **limits}
    named = {"name": "stripes", "dataset": "stripes", "folder": str(folder / "packages")}
    path = folder / "params.yaml"
    path.write_text(json.dumps({"gate": chosen, "package": named}))  # JSON is YAML
    return path


def judge(params: Path, folder: Path, data: Path) -> int:
    absent = str(params.with_name("absent.json"))
    arguments = ["--params", str(params), "--folder", str(folder), "--data", str(data)]
    return gate.main([*arguments, "--report", absent, "--history", absent])


def pack(params: Path, folder: Path) -> int:
    absent = str(params.with_name("absent.json"))
    return package.main(["--params", str(params), "--folder", str(folder), "--run", absent])


def test_a_sound_model_is_passed_and_packaged(
    converted_folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = settings(tmp_path)
    assert judge(params, converted_folder, trained.data_path) == ExitCode.OK
    assert gate_record.read(converted_folder).result.passed
    assert pack(params, converted_folder) == ExitCode.OK
    made = packages.read_file(tmp_path / "packages" / "stripes-1.ewm")
    assert made.manifest.digest[:12] in capsys.readouterr().out


def test_a_refusal_ends_with_three_one_line_a_reason_and_is_never_packaged(
    converted_folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = settings(tmp_path, largest_file=1000)
    assert judge(params, converted_folder, trained.data_path) == ExitCode.GATE_REFUSED
    refused = [line for line in capsys.readouterr().err.splitlines() if line.startswith("refused: ")]
    assert [line.split(": ")[1] for line in refused] == ["size"]
    assert gate_record.read(converted_folder).result.reasons == (refused[0].removeprefix("refused: "),)
    assert pack(params, converted_folder) == ExitCode.GATE_REFUSED
    assert "size" in capsys.readouterr().err
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize("name", ["empty", "truncated", "another model", "bomb"])
def test_a_damaged_champion_is_one_sentence_and_nothing_is_judged(
    name: str, converted_folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.ewm").write_bytes(DAMAGED[name])
    before = {path.name: path.read_bytes() for path in converted_folder.iterdir()}
    arguments = ["--params", str(settings(tmp_path)), "--folder", str(converted_folder)]
    status = gate.main([*arguments, "--data", str(trained.data_path), "--champion", str(tmp_path / "x.ewm")])
    assert status == (ExitCode.TRUST_REFUSED if name == "another model" else ExitCode.USAGE)
    said = capsys.readouterr().err
    assert "x.ewm" in said
    assert "Traceback" not in said
    assert {path.name: path.read_bytes() for path in converted_folder.iterdir()} == before


def test_the_gate_carries_the_share_of_pictures_that_show_faces(
    converted_folder: Path, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text('{"faces": [50, 2]}')
    arguments = ["--params", str(settings(tmp_path)), "--folder", str(converted_folder)]
    gate.main([*arguments, "--data", str(trained.data_path), "--report", str(tmp_path / "report.json")])
    assert gate_record.read(converted_folder).result.checks[FACES_FOUND] == 0.04


def test_the_gate_without_a_conversion_is_one_sentence_and_writes_nothing(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert judge(settings(tmp_path), tmp_path / "empty", trained.data_path) == ExitCode.USAGE
    assert "run `make quantize` first" in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_package_without_the_gate_s_record_is_not_made(
    converted_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pack(settings(tmp_path), converted_folder) == ExitCode.USAGE
    assert "run `make gate` first" in capsys.readouterr().err
    (converted_folder / artifacts.GATE).write_text("{}")
    assert pack(settings(tmp_path), converted_folder) == ExitCode.USAGE
    assert "no gate record" in capsys.readouterr().err


def test_a_damaged_conversion_record_is_one_sentence(
    converted: Converted, converted_folder: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = msgspec.json.encode(converted.record)
    (converted_folder / artifacts.RECORD).write_bytes(record[: len(record) // 2])
    assert judge(settings(tmp_path), converted_folder, trained.data_path) == ExitCode.USAGE
    said = capsys.readouterr().err.strip()
    assert "run `make quantize` again" in said
    assert "\n" not in said


@pytest.mark.slow
def test_the_backend_that_trained_does_not_matter_to_converting() -> None:
    script = "from convert.tflite.conversion import keras_on_tensorflow; print(keras_on_tensorflow().backend.backend())"
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    asked = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "tensorflow"
