"""`make retrain`: train on from the champion for a cause or with labels from the field, gate it, register a challenger.

    RETRAIN_CAUSE=dark RETRAIN_FIELD=field RETRAIN_RUN=night-1 make retrain

The pipeline runs in a checkout of its own under build/retrain/RETRAIN_RUN: params.yaml, dvc.lock and data stay as they
are, whatever happens. Killed, the same RETRAIN_RUN goes on; ended, it says the same again. The last line of standard
output is JSON: package, name, release, digest and what was measured; or, with exit code 3, the gate's `reasons`.
"""

import argparse
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from convert import artifacts
from convert.checks import gate_record
from convert.retraining import measured, plan, record, registry, workspace
from convert.retraining.record import Record, Request, Result
from convert.settings import GateSettings, PackageSettings, RetrainSettings
from edge_contract import limits, package
from edge_contract.bounded_read import read_file
from edge_contract.command_end import command
from edge_contract.durable import make_directory, write_file
from edge_contract.errors import EdgewiseError, ExitCode, UsageError
from edge_contract.manifest import ModelManifest, digest_of
from edge_contract.package import ModelPackage
from edge_contract.topics import ID_PATTERN
from train.data.field import digest_of as labels_digest
from train.loop.settings import TrainParams
from train.params import load_section

_KEPT: Final = ("params.yaml", "dvc.lock", "data/report.json", "data/report.txt", "build/convert/gate.json",
                "build/convert/layers.png", "build/train/history.json", "build/train/result.json",
                "build/evaluate/scores.json", "build/evaluate/confusion_test.png",
                "build/evaluate/reliability_test.png")  # fmt: skip
"""Of the run's own checkout: what its summary shows, and what `dvc checkout` needs to come back to it."""


def main_folder(settings: RetrainSettings, run: str) -> Path:
    """The folder of a run.

    Raises:
        UsageError: its id is none.
    """
    if not re.match(ID_PATTERN, run):
        raise UsageError(f"RETRAIN_RUN is `{run}`", remedy="write 1 to 64 small letters a-z, digits and hyphens")
    return Path(settings.folder) / run


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One retraining at a time in this checkout: two would only be slower, and take the same release number.

    Raises:
        EdgewiseError: another is under way.
    """
    make_directory(folder)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EdgewiseError("another retraining runs in this checkout", remedy="wait for its end") from error
        yield


def retrain(params: Path, cause: str, field: str, run: str, *, registered: bool) -> Result:
    """One retraining, begun, gone on with or only told again. `registered`: whether a registry is configured.

    Raises:
        UsageError: what is asked cannot be done, or the id was begun with something else.
        EdgewiseError: a stage, git, DVC or the registry failed; the same id goes on.
    """
    settings = load_section(params, "retrain", RetrainSettings)
    plan.check(cause, labelled=bool(field))
    folder = main_folder(settings, run)
    with _alone(Path(settings.folder)):
        known = record.read(folder)
        champion_file = _champion(settings, load_section(params, "gate", GateSettings))
        if known is None or known.state == "begun":
            champion = package.read_file(champion_file)
            request = _request(params, cause, field, champion)
            known = _begun(known, request, params, run, champion, registered=registered)
            record.write(known, folder)
            known = _run(known, folder, params, settings, field, champion_file)
        else:
            record.refuse_another(known, msgspec.structs.replace(known.request, cause=cause), run)
        if known.state == "passed" and registered:
            registry.register(known.result.package)
    return known.result


def _champion(settings: RetrainSettings, gate: GateSettings) -> Path:
    named = os.environ.get("RETRAIN_CHAMPION", "") or settings.champion or gate.champion
    if not named:
        raise UsageError(
            "no champion is named to train on from and to compare with",
            remedy="set retrain.champion in params.yaml to the package that devices run",
        )
    return Path(named)


def _base(params: Path) -> Path:
    base = Path(load_section(params, "train", TrainParams).dataset)
    if not base.is_file():
        raise UsageError(f"{base} does not exist", remedy="run `make data` or `make pull` first")
    return base


def _request(params: Path, cause: str, field: str, champion: ModelPackage) -> Request:
    base = _base(params)
    return Request(
        cause=cause,
        field_digest=labels_digest(Path(field)) if field else "",
        champion=champion.manifest.digest,
        base=digest_of(read_file(base, limits.DATASET_BYTES)),
    )


def _begun(
    known: Record | None, request: Request, params: Path, run: str, champion: ModelPackage, *, registered: bool
) -> Record:
    """The record of a run that was begun before, or of one that begins now, with a release number of its own."""
    if known is not None:
        record.refuse_another(known, request, run)
        return known
    settings = load_section(params, "package", PackageSettings)
    used = [champion.manifest.release] if champion.manifest.name == settings.name else []
    for at in (Path(settings.folder), Path("models")):
        pattern = re.compile(rf"{re.escape(settings.name)}-([0-9]{{1,10}}){re.escape(package.SUFFIX)}\Z")
        used += [int(found[1]) for file in at.glob(f"*{package.SUFFIX}") if (found := pattern.match(file.name))]
    for other in Path(load_section(params, "retrain", RetrainSettings).folder).glob(f"*/{record.RECORD}"):
        earlier = record.read(other.parent)
        used += [earlier.release] if earlier is not None and earlier.name == settings.name else []
    if registered:
        used += registry.releases(settings.name)
    return Record(request=request, name=settings.name, release=plan.next_release(settings.release, used))


def _run(
    known: Record, folder: Path, params: Path, settings: RetrainSettings, field: str, champion_file: Path
) -> Record:
    """Run the pipeline in the run's own checkout, and take its package or its refusal out of there."""
    own = workspace.Workspace(Path.cwd(), folder / "tree", _store(params))
    _say(f"retraining {folder.name}: {known.name} {known.release}, from {champion_file}")
    own.make()
    base = _base(params)
    own.place(base, workspace.BASE)
    own.place(base.with_name("report.json"), "build/base/report.json")
    own.place(champion_file, workspace.CHAMPION)
    if field:
        own.place(Path(field), workspace.FIELD)
    start = f"build/start/{known.request.champion[:12]}"
    why_not = own.restore(start)
    if why_not:
        _say(f"training begins with random weights: {why_not}")
    training = load_section(params, "train", TrainParams)
    changes = plan.sections(
        known.request.cause,
        settings,
        augment=msgspec.to_builtins(training.augment),
        base=workspace.BASE,
        field=workspace.FIELD if field else "",
        field_digest=known.request.field_digest,
        start="" if why_not else f"{start}/model.keras",
        champion=workspace.CHAMPION,
        release=known.release,
        packages=workspace.PACKAGES,
    )
    own.change(msgspec.to_builtins(changes))
    converted = own.tree / artifacts.FOLDER
    (converted / artifacts.GATE).unlink(missing_ok=True)  # what an earlier try left says nothing of this one
    well = own.repro()
    _keep(own.tree, folder)
    if not (converted / artifacts.GATE).exists():
        raise EdgewiseError(
            "the pipeline failed before its gate", remedy="mend what it says above, and give the same RETRAIN_RUN"
        )
    judged = gate_record.read(converted)
    if not judged.result.passed:
        done = msgspec.structs.replace(known, state="refused", result=Result(reasons=judged.result.reasons))
    elif well:
        made = _taken(
            own.tree / workspace.PACKAGES, folder, Path(load_section(params, "package", PackageSettings).folder)
        )
        file, manifest = made
        done = msgspec.structs.replace(
            known,
            state="passed",
            result=Result(
                package=str(file), name=manifest.name, release=manifest.release, digest=manifest.digest,
                measured=measured.figures(judged.measurements),
            ),
        )  # fmt: skip
    else:
        raise EdgewiseError(
            "the model was not packaged", remedy="mend what it says above, and give the same RETRAIN_RUN"
        )
    record.write(done, folder)
    own.remove()
    return done


def _taken(packages: Path, folder: Path, target: Path) -> tuple[Path, ModelManifest]:
    """The one new package, copied to the checkout's packages and into the run's folder."""
    (made,) = packages.glob(f"*{package.SUFFIX}")
    packed = package.read_file(made)
    data = package.bytes_of(made)
    file = target / packed.file_name
    if file.exists() and package.bytes_of(file) != data:
        raise UsageError(f"{file} is a different package of the same release", remedy="give another RETRAIN_RUN")
    write_file(file, data, parents=True)
    write_file(folder / packed.file_name, data)
    return file, packed.manifest


def _keep(tree: Path, folder: Path) -> None:
    for name in _KEPT:
        if (tree / name).is_file():
            target = folder / Path(name).name
            shutil.copyfile(tree / name, target)


def _store(params: Path) -> str:
    """Where training notes its runs: the checkout's own store, also from the clone."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "") or load_section(params, "train", TrainParams).tracking_uri
    scheme, _, path = uri.partition(":///")
    return f"{scheme}:///{Path(path).resolve()}" if scheme == "sqlite" and path else uri


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.retrain`; exit code 3 when the gate refuses."""
    parser = argparse.ArgumentParser(prog="convert.retrain", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    given = parser.parse_args(arguments)
    result = retrain(
        given.params,
        os.environ.get("RETRAIN_CAUSE", ""),
        os.environ.get("RETRAIN_FIELD", ""),
        os.environ.get("RETRAIN_RUN", "") or time.strftime("by-hand-%Y%m%d-%H%M%S", time.gmtime()),
        registered=bool(os.environ.get("MLFLOW_TRACKING_URI", "")),
    )
    for reason in result.reasons:
        _say(f"refused: {reason}")
    print(record.line(result), flush=True)  # noqa: T201 - the command's answer
    return int(ExitCode.GATE_REFUSED if result.reasons else ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
