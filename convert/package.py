"""Stage `package`: a conversion that the gate passed becomes one `.ewm`, deterministically.

The same conversion, gate record and lineage give the same bytes. A release number is never used twice: a different
package of the same name and number is refused, because devices know a release by both.
"""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from convert import artifacts, card
from convert.checkout import trouble
from convert.checks import gate_record
from convert.checks.comparison import Comparison
from convert.lineage import trace
from convert.settings import DRAWN, DRAWN_CAVEAT, SYNTHETIC, PackageSettings
from edge_contract import limits, package
from edge_contract.bounded_read import read_file
from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import GateRefusedError, UsageError
from edge_contract.manifest import Accuracy, GateResult, Lineage, ModelManifest, Score
from edge_contract.package import ModelPackage
from train.params import load_section
from train.scoring.scores import Interval


def assemble(
    converted: artifacts.Converted, record: gate_record.GateRecord, settings: PackageSettings, lineage: Lineage
) -> ModelPackage:
    """The package of a conversion that the gate passed.

    Raises:
        GateRefusedError: the gate refused the model.
        UsageError: the gate judged another model.
    """
    if record.digest != converted.record.int8_digest:
        raise UsageError("the gate judged another model than the one converted last", remedy="run `make gate` again")
    if not record.result.passed:
        raise GateRefusedError(f"the gate refused this model ({record.result.reasons[0]}) and it is not packaged.")
    _check_honest(settings, synthetic=record.measurements.synthetic)
    comparison = record.measurements.comparison
    if comparison is None:
        raise UsageError("the gate's record holds no accuracy", remedy="run `make gate` again")
    manifest = msgspec.structs.replace(
        converted.candidate,
        name=settings.name,
        release=settings.release,
        crop=settings.crop,
        budget=settings.budget,
        accuracy=_accuracy(comparison, settings.split or record.split, settings),
        gate=_as_carried(record.result),
        reference=record.measurements.reference,
        lineage=lineage,
        intended_use=settings.intended_use,
        caveat=settings.caveat,
    )
    checked = _checked(manifest)
    text = card.render(checked, per_class=comparison.recall, method=converted.record.method, macs=converted.record.macs)
    return ModelPackage(checked, converted.int8_model, text)


def write(packaged: ModelPackage, folder: Path) -> Path:
    """Write `NAME-RELEASE.ewm`; writing the same package again changes nothing.

    Raises:
        UsageError: a different package of this name and release number is there.
    """
    data = package.write(packaged)
    path = folder / packaged.file_name
    if path.exists() and read_file(path, limits.PACKAGE_BYTES) != data:
        raise UsageError(
            f"{path} is a different package of the same release",
            remedy="raise package.release in params.yaml (a release number is never used twice) or delete the file",
        )
    if not path.exists():
        write_file(path, data, parents=True)
    return path


def _check_honest(settings: PackageSettings, *, synthetic: bool) -> None:
    """A model of drawn faces says so in its name, its scores and its card, and no other does.

    Raises:
        UsageError: the parameters call it otherwise; the text names all of them.
    """
    says_drawn = {
        "name": settings.name.startswith(SYNTHETIC),
        "dataset": settings.dataset.startswith(SYNTHETIC),
        "label_set": settings.label_set == DRAWN,
        "caveat": DRAWN_CAVEAT in settings.caveat,
    }
    if synthetic and not (says_drawn["name"] and says_drawn["dataset"]):
        raise UsageError(
            "this model was trained on drawn faces, and package.name and package.dataset in params.yaml are "
            f"`{settings.name}` and `{settings.dataset}`",
            remedy=f"begin both with `{SYNTHETIC}`",
        )
    wrong = [f"package.{key}" for key, says in says_drawn.items() if says]
    if not synthetic and wrong:
        raise UsageError(
            "this model was not trained on drawn faces, and params.yaml still says so",
            remedy=f"set {', '.join(wrong)} to what is true of your data (intended_use too)",
        )


def _accuracy(found: Comparison, split: str, settings: PackageSettings) -> Accuracy:
    def score(share: Interval) -> Score:
        return Score(
            dataset=settings.dataset,
            split=split,
            label_set=settings.label_set or settings.dataset,
            n=found.n,
            accuracy=share.value,
            low=share.low,
            high=share.high,
        )

    return Accuracy(float=score(found.reference_accuracy), int8=score(found.accuracy))


def _as_carried(result: GateResult) -> GateResult:
    """Without what differs from run to run of the same model: times and memory are this machine's, not the model's."""
    kept = {name: value for name, value in result.checks.items() if name not in ("latency_s", "memory")}
    return msgspec.structs.replace(result, checks=kept)


def _checked(manifest: ModelManifest) -> ModelManifest:
    """Hold the manifest's own rules, such as the alphabet of its name, which building one does not.

    Raises:
        UsageError: a setting is not what a manifest takes.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(manifest), ModelManifest)
    except msgspec.ValidationError as error:
        raise UsageError(f"the section `package` of the parameters gives no valid manifest: {error}.") from error


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.package`; exit code 3 for what the gate refused."""
    parser = argparse.ArgumentParser(prog="convert.package", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--run",
        type=Path,
        default=Path("build/train") / artifacts.RESULT,
        help="training's result, which names its MLflow run",
    )
    parser.add_argument("--trained-on", default="", help="hardware, backend and precision, for the lineage")
    parser.add_argument("--folder", type=Path, default=artifacts.FOLDER)
    given = parser.parse_args(arguments)
    settings = load_section(given.params, "package", PackageSettings)
    converted = artifacts.read(given.folder)
    checkout = Path(__file__).resolve().parents[1]
    lineage = trace(
        checkout,
        params=given.params,
        dataset=converted.record.dataset,
        network=converted.record.network,
        result=given.run,
        trained_on=given.trained_on or settings.trained_on,
    )
    if not lineage.git_commit and (without := trouble(checkout)) is not None:
        sys.stderr.write(f"The package names no commit: {without}\n")
    if not lineage.mlflow_run:
        sys.stderr.write(f"{given.run} names no MLflow run of this network: the package names none.\n")
    packaged = assemble(converted, gate_record.read(given.folder), settings, lineage)
    path = write(packaged, Path(settings.folder))
    Console().print(f"{path}: {packaged.manifest.size:,} bytes of model, {packaged.manifest.digest[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
