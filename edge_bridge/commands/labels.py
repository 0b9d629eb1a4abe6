"""`edgewise labels`: what people said of crops from the field, as figures and as files; taken in, and erased.

This module is imported by every `edgewise`, so what reads databases is imported by the commands.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from msgspec import json
from rich.console import Console
from rich.table import Table

from edge_bridge.commands.moment import moment
from edge_contract.errors import UsageError
from edge_contract.topics import checked_id
from edge_contract.visible import visible

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from edge_bridge.labels.accuracy import Accuracy
    from edge_bridge.labels.database import LabelDatabase
    from edge_bridge.labels.report import Report
    from edge_bridge.labels.settings import LabelSettings

app = typer.Typer(
    name="labels", help="Labels from the field: counted, compared, exported, imported, erased.", no_args_is_help=True
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The bridge's settings, with its [labels].")]
DatabaseOption = Annotated[Path | None, typer.Option("--database", help="The file of labels (labels.db).")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="The labelling key's private half.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
UtcOption = Annotated[bool, typer.Option("--utc", help="Times are given in UTC.")]


class _Opened(NamedTuple):
    database: "LabelDatabase"
    settings: "LabelSettings"
    key_option: Path | None

    def key(self) -> "X25519PrivateKey":
        """Only what shows pictures needs it."""
        from edge_bridge.labels import key  # noqa: PLC0415

        return key.read(self.key_option if self.key_option is not None else self.settings.key_file)


@app.command("status")
def status(config: ConfigOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Say how much is labelled, by whom, how far people agree, and how right each model was."""
    from edge_bridge.labels import reading  # noqa: PLC0415

    with _opened(config, database) as opened:
        with opened.database.reading() as connection:
            found = reading.overview(connection)
        if as_json:
            typer.echo(json.encode(_as_json(found)).decode())
            return
        _show(found)


@app.command("compare")
def compare(
    first: Annotated[str, typer.Argument(help="A release, as NAME-RELEASE: emotion-4.")],
    second: Annotated[str, typer.Argument(help="The other one.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two releases on the labelled faces that both answered: who is right where they differ."""
    from edge_bridge.labels import reading, report  # noqa: PLC0415

    with _opened(config, database) as opened, opened.database.reading() as connection:
        labelled = reading.labelled(connection)
    known = {model for each in labelled.facts for model in each.answers}
    for name in (first, second):
        if name not in known:
            raise UsageError(
                f"no labelled crop was answered by {visible(name)}",
                remedy=f"known are {', '.join(map(visible, sorted(known)))}" if known else "label some first",
            )
    found = report.comparison(labelled.facts, labelled.stands, first, second)
    if as_json:
        typer.echo(json.encode({"first": first, "second": second, **found._asdict()}).decode())
        return
    typer.echo(
        f"On {sum(found[:4]):,} faces that both answered: {found.both:,} both right, {found.neither:,} both wrong, "
        f"{found.first:,} only {visible(first)}, {found.second:,} only {visible(second)}."
    )
    if not found.first + found.second:
        typer.echo("Nothing tells them apart: no labelled face is right by one and wrong by the other.")
        return
    better = visible(first if found.first >= found.second else second)
    typer.echo(
        f"{better} is ahead; a split as uneven comes about by chance with a probability of {found.p:.3g} "
        "(McNemar, exact, two-sided)."
    )


@app.command("export")
def export(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="A folder to train with: labels.csv, pictures, tombstones.csv.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Every answer as CSV, without pictures.")] = None,
    label_studio: Annotated[
        Path | None, typer.Option("--label-studio", help="Tasks for Label Studio, with their pictures.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Tasks for Label Studio at most.")] = 5000,
    with_model: Annotated[
        bool, typer.Option("--with-model", help="Tasks show the model's answer, which people lean towards.")
    ] = False,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    key: KeyOption = None,
) -> None:
    """Write labels to files. With --folder or --label-studio pictures of faces are in the clear from then on."""
    from edge_bridge.labels import answer_csv, folder_export, label_studio as studio  # noqa: PLC0415, I001

    if sum(each is not None for each in (folder, csv, label_studio)) != 1:
        raise UsageError("an export is one thing", remedy="give --folder DIR, --csv FILE or --label-studio FILE")
    with _opened(config, database, key) as opened:
        if csv is not None:
            count = answer_csv.export_csv(opened.database, csv)
            typer.echo(f"{_counted(count, 'answer')} written to {visible(str(csv))}.")
        elif label_studio is not None:
            tasks = studio.export_tasks(opened.database, opened.key(), label_studio, limit, with_model=with_model)
            typer.echo(f"{_counted(tasks.tasks, 'task')} written to {visible(str(label_studio))}.")
            _say_clear(label_studio)
            _say_left_out({"past --limit": tasks.over, "damaged": tasks.damaged})
        else:
            assert folder is not None  # noqa: S101  # one of them is given
            exported = folder_export.export_folder(opened.database, opened.key(), folder)
            typer.echo(f"{_counted(exported.labels, 'labelled picture')} written to {visible(str(folder))}.")
            _say_clear(folder)
            _say_left_out(exported.left_out)


@app.command("import")
def import_(
    csv: Annotated[Path | None, typer.Option("--csv", help="Answers: crop, annotator, kind, label, time.")] = None,
    label_studio: Annotated[Path | None, typer.Option("--label-studio", help="What Label Studio exported.")] = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Take in answers that were given elsewhere: all of a file or nothing; the same file again changes nothing."""
    from edge_bridge.labels import answer_csv, importing, label_studio as studio  # noqa: PLC0415, I001

    if csv is not None and label_studio is None:
        given = answer_csv.read_csv(csv)
    elif label_studio is not None and csv is None:
        given = studio.read_tasks(label_studio)
    else:
        raise UsageError("an import is one file", remedy="give --csv FILE or --label-studio FILE")
    with _opened(config, database) as opened:
        found = importing.add(opened.database, given, time.time())
    typer.echo(
        f"{_counted(found.added, 'answer')} added; {found.known:,} known already, {found.gone:,} of crops that are not "
        "here."
    )


@app.command("erase")
def erase(
    device: Annotated[str, typer.Option("--device", help="Whose crops.")],
    since: Annotated[str | None, typer.Option("--from", help="Local time: 2026-11-28T20:00; or 2h: ago.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="The same; the moment itself is not part of it.")] = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    utc: UtcOption = False,
) -> None:
    """Delete crops and labels of a device, by the time they were taken, and overwrite their bytes.

    A tombstone of device and time stays: it travels with exports, so that trainings leave out what was exported before.
    """
    from edge_bridge.labels import erasure  # noqa: PLC0415

    checked_id(device, "--device")
    clock = datetime.fromtimestamp(time.time(), UTC)
    clock = clock if utc else clock.astimezone()
    begin = moment(since, "--from", clock) if since is not None else None
    end = moment(until, "--to", clock) if until is not None else None
    if begin is not None and end is not None and begin >= end:
        raise UsageError("--from is not before --to", remedy="give the earlier one first")
    with _opened(config, database) as opened:
        found = erasure.erase(opened.database, device, begin, end, time.time())
    typer.echo(f"{_counted(found.crops, 'crop')} of {device} erased, with what people said of them.")
    typer.echo(
        "Folders that were exported earlier hold them still: export them again, or hand on the tombstones "
        "(`edgewise labels tombstones FILE`)."
    )


@app.command("tombstones")
def tombstones(
    file: Annotated[Path, typer.Argument(help="A CSV file of device, from and until.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write what was erased, by device and time, as trainings read it."""
    from edge_bridge.labels import erasure, folder_export  # noqa: PLC0415
    from edge_contract.durable import write_file  # noqa: PLC0415

    with _opened(config, database) as opened, opened.database.reading() as connection:
        found = erasure.tombstones_in(connection)
    write_file(file, folder_export.tombstone_file(found))
    typer.echo(f"{_counted(len(found), 'tombstone')} written to {visible(str(file))}.")


@contextmanager
def _opened(config: Path | None, database: Path | None, key: Path | None = None) -> Iterator[_Opened]:
    from edge_bridge import settings  # noqa: PLC0415
    from edge_bridge.labels.database import LabelDatabase  # noqa: PLC0415

    labels = settings.read(config, os.environ).labels
    found = LabelDatabase(database if database is not None else labels.database)
    try:
        found.require()
        yield _Opened(found, labels, key)
    finally:
        found.close()


def _show(found: "Report") -> None:
    strata = Table("stratum", "crops", "answered", "labelled", box=None)
    for stratum, count in found.crops.items():
        labelled = sum(number for (_, each), number in found.labelled.items() if each == stratum)
        strata.add_row(stratum, f"{count:,}", f"{found.answered.get(stratum, 0):,}", f"{labelled:,}")
    _print(strata)
    outcomes = [f"{count:,} {_OUTCOMES.get(name, name)}" for name, count in sorted(found.outcomes.items())]
    if outcomes:
        typer.echo(f"Answers: {', '.join(outcomes)}.")
    if found.annotators:
        said = (f"{visible(name)} {count:,}" for name, count in sorted(found.annotators.items()))
        typer.echo(f"Annotators: {', '.join(said)}.")
    for each in found.agreements:
        kappa = "not defined" if each.kappa is None else f"{each.kappa:.2f}"
        both = f"{visible(each.first)} and {visible(each.second)}"
        typer.echo(f"Agreement: {both} on {each.same:,} of {_counted(each.crops, 'crop')}, kappa {kappa}.")
    for model, value in found.accuracy.items():
        typer.echo(
            f"Accuracy: {visible(model)} {value.share:.1%} [{value.low:.1%}, {value.high:.1%}], "
            f"{_counted(value.crops, 'crop')} of the random stratum, worth {value.effective:.0f} of equal weight."
        )
    if not found.accuracy:
        typer.echo("Accuracy: none yet; it comes from labelled crops of the random stratum. Label some at /label.")
    if found.damaged:
        typer.echo(f"{_counted(found.damaged, 'crop')} cannot be opened any more.")
    if found.tombstones:
        typer.echo(f"{_counted(found.tombstones, 'erasure')} on record.")


_OUTCOMES = {
    "label": "with a label", "not-a-face": "not a face", "cannot-tell": "cannot tell", "no-majority": "no majority"
}  # fmt: skip


def _as_json(found: "Report") -> dict[str, Any]:
    labelled: dict[str, dict[str, int]] = {}
    for (model, stratum), count in sorted(found.labelled.items()):
        labelled.setdefault(model, {})[stratum] = count
    return {
        "crops": found.crops,
        "answered": found.answered,
        "labelled": labelled,
        "outcomes": found.outcomes,
        "annotators": found.annotators,
        "agreements": [each._asdict() for each in found.agreements],
        "accuracy": _accuracy_json(found.accuracy),
        "damaged": found.damaged,
        "tombstones": found.tombstones,
    }


def _accuracy_json(found: "Mapping[str, Accuracy]") -> dict[str, dict[str, float]]:
    return {model: each._asdict() for model, each in found.items()}


def _say_clear(where: Path) -> None:
    typer.echo(
        f"Pictures of faces in {visible(str(where))} are not sealed: keep it where only those read it whom the consent "
        "names, and delete it when it is used up.",
        err=True,
    )


def _say_left_out(counts: "Mapping[str, int]") -> None:
    said = [f"{count:,} {_OUTCOMES.get(name, name)}" for name, count in sorted(counts.items()) if count]
    if said:
        typer.echo(f"Left out: {', '.join(said)}.", err=True)


def _print(table: Table) -> None:
    width = None if sys.stdout.isatty() else 10_000  # a file or a pipe has no width
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
