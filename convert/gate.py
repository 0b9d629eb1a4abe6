"""Stage `gate`: measure the converted model, decide, write `gate.json`.

An unfit model ends with exit code 3 and one sentence for each reason.
"""

import argparse
import json
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from convert import artifacts
from convert.checks import decision, measure
from convert.checks.gate_record import GateRecord, write
from convert.settings import SYNTHETIC, GateSettings
from convert.tflite.runtimes import MATRIX, Runtime
from edge_contract import limits, package
from edge_contract.bounded_read import read_file, read_text
from edge_contract.command_end import command
from edge_contract.errors import ExitCode
from edge_contract.manifest import FACES_FOUND, FaceCrop, GateResult
from edge_contract.package import ModelPackage
from edge_vision.framed import FaceSample
from train.data.dataset import Dataset, load
from train.params import load_section


class _Report(msgspec.Struct, frozen=True):
    """Of the report of `make data`, what is read here."""

    faces: FaceSample | None = None


def judge(
    converted: artifacts.Converted,
    data: Dataset,
    settings: GateSettings,
    *,
    synthetic: bool,
    trained_accuracy: float | None = None,
    champion: ModelPackage | None = None,
    matrix: tuple[Runtime, ...] = MATRIX,
    progress: measure.Progress = lambda _: None,
) -> GateRecord:
    """Measure and decide.

    Raises:
        UsageError: data and conversion do not belong together.
    """
    measured = measure.measure(
        converted,
        data,
        settings,
        synthetic=synthetic,
        trained_accuracy=trained_accuracy,
        champion=champion,
        champion_synthetic=champion is not None and is_synthetic(champion),
        matrix=matrix,
        progress=progress,
    )
    return GateRecord(
        digest=measured.digest,
        split=settings.split,
        n=len(data.split_indices(settings.split)),
        result=decision.decide(measured, settings),
        measurements=measured,
    )


def is_synthetic(champion: ModelPackage) -> bool:
    """Whether this package's model was scored on rendered faces only."""
    accuracy = champion.manifest.accuracy
    return accuracy is not None and accuracy.int8.dataset.startswith(SYNTHETIC)


def table(result: GateResult) -> Table:
    """Every check with its value, for the terminal."""
    shown = Table(title="gate: passed" if result.passed else "gate: REFUSED")
    shown.add_column("check", no_wrap=True)
    shown.add_column("found")
    for name, value in result.checks.items():
        match value:
            case None:
                text = "not run"
            case bool():
                text = "yes" if value else "no"
            case float():
                text = f"{value:.4g}"
            case _:
                text = str(value)
        shown.add_row(name, text)
    return shown


def rendered(report: Path) -> bool:
    """Whether `make data` rendered the data set's faces itself; False when its report is not there."""
    try:
        document = json.loads(read_text(report, limits.DOCUMENT_BYTES))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and str(document.get("source", "")).startswith(SYNTHETIC)


def faces_of(report: Path) -> FaceSample | None:
    """In how many training pictures `make data` found a face; None where its report does not say so."""
    try:
        return msgspec.json.decode(read_file(report, limits.DOCUMENT_BYTES), type=_Report).faces
    except (OSError, msgspec.MsgspecError):
        return None  # not there, or of an earlier version


def faces_advice(faces: FaceSample | None, crop: FaceCrop) -> str:
    """What to say where a device is to look for faces and `make data` found hardly any; empty otherwise."""
    return faces.advice if faces is not None and crop.around == "face" else ""


def with_faces(record: GateRecord, faces: FaceSample | None) -> GateRecord:
    """The record with the share of pictures that show a face, which `edgewise release add` repeats."""
    if faces is None or not faces.pictures:
        return record
    checks = {**record.result.checks, FACES_FOUND: faces.found / faces.pictures}
    return msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, checks=checks))


def selection_accuracy(history: Path, network: str) -> float | None:
    """What training reported of this network (SHA-256) on its selection split; None when that is not known.

    It stands beside the history. A history alone, of an earlier version's training, ends with its last epoch: before
    weights are averaged and the last layer is fitted.
    """
    result = history.with_name(artifacts.RESULT)
    try:
        if result.exists():
            found = json.loads(read_text(result, limits.DOCUMENT_BYTES))
            value = found["selection_accuracy"] if found["network"] == network else None
        else:
            value = json.loads(read_text(history, limits.DOCUMENT_BYTES))[-1]["selection_accuracy"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.gate`; exit code 3 when the gate refuses."""
    parser = argparse.ArgumentParser(prog="convert.gate", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--report", type=Path, default=Path("data/report.json"), help="what `make data` found")
    parser.add_argument(
        "--history", type=Path, default=Path("build/train/history.json"), help="training's, with its result beside it"
    )
    parser.add_argument("--folder", type=Path, default=artifacts.FOLDER)
    parser.add_argument("--champion", type=Path, help="a package this model must not be worse than")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    settings = load_section(given.params, "gate", GateSettings)
    named = given.champion or (Path(settings.champion) if settings.champion else None)
    converted = artifacts.read(given.folder)
    with console.status("gate") as status:
        record = judge(
            converted,
            load(given.data),
            settings,
            synthetic=rendered(given.report),
            trained_accuracy=selection_accuracy(given.history, converted.record.network),
            champion=package.read_file(named) if named else None,
            progress=lambda what: status.update(f"gate: {what}"),
        )
    faces = faces_of(given.report)
    record = with_faces(record, faces)
    write(record, given.folder)
    Console().print(table(record.result))
    if advice := faces_advice(faces, converted.candidate.crop):
        sys.stderr.write(f"Warning: {advice}\n")
    for reason in record.result.reasons:
        sys.stderr.write(f"refused: {reason}\n")
    return int(ExitCode.OK if record.result.passed else ExitCode.GATE_REFUSED)


if __name__ == "__main__":
    sys.exit(main())
