"""`edgewise predictions`: what a camera answered when and under which model, and the log as a file.

This module is imported by every `edgewise`, so what reads databases is imported by the commands.
"""

import enum
import json
import os
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from edge_bridge.commands.moment import moment, shown, zone_name
from edge_contract.errors import UsageError
from edge_contract.visible import visible

if TYPE_CHECKING:
    from edge_bridge.storage.prediction_query import By, PredictionFilter, PredictionLog
    from edge_bridge.storage.store import LoggedPrediction

app = typer.Typer(name="predictions", help="The prediction log: asked, and exported.", no_args_is_help=True)

MOST: Final = 100_000
"""Predictions printed at most; more are exported."""

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The bridge's settings, which name its database.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="sqlite:///FILE or postgresql://HOST/NAME; a password: in EDGEWISE_DATABASE."),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="Only of this camera.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="Only of this site.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only under this model: emotion, or emotion-5.")]
LabelOption = Annotated[str | None, typer.Option("--label", help="Only this answer.")]
FromOption = Annotated[str | None, typer.Option("--from", help="Local time: 2026-11-28T20:00; or 2h: two hours ago.")]
ToOption = Annotated[str | None, typer.Option("--to", help="The same; the moment itself is not part of it.")]
ClockOption = Annotated[
    Literal["device", "received"],
    typer.Option("--clock", help="Times by the camera's clock, or when the bridge received it."),
]
SessionOption = Annotated[int | None, typer.Option("--session", help="Only of this run of the agent.")]
TrackOption = Annotated[int | None, typer.Option("--track", help="Only of this face track.")]
UtcOption = Annotated[bool, typer.Option("--utc", help="Times are given and shown in UTC.")]


class Common(enum.StrEnum):
    """What predictions that are counted together have in common."""

    DEVICE = "device"
    SITE = "site"
    MODEL = "model"
    LABEL = "label"


@app.command("query")
def query(
    device: DeviceOption = None,
    site: SiteOption = None,
    model: ModelOption = None,
    label: LabelOption = None,
    since: FromOption = None,
    until: ToOption = None,
    clock: ClockOption = "device",
    session: SessionOption = None,
    track: TrackOption = None,
    by: Annotated[
        list[Common] | None,
        typer.Option("--by", help="Count by this instead of listing; several may be given."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many are listed.")] = 50,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    utc: UtcOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """List predictions, oldest first, or count them by model, label, camera or site."""
    from edge_bridge.storage.prediction_query import PredictionFilter  # noqa: PLC0415

    wanted = PredictionFilter(
        device=device, site=site, model=model, label=label, clock=clock, session=session, track=track,
        newest_first=True, limit=limit, **_range(since, until, utc=utc),
    )  # fmt: skip
    log = _log(config, database)
    try:
        if by:
            _show_tally(log, wanted, [each.value for each in dict.fromkeys(by)], utc=utc, as_json=as_json)
            return
        found, count = log.query(wanted)[::-1], log.count(wanted)
        if as_json:
            listed = [{**to_builtins(each.message), "received": each.received} for each in found]
            _write_json({"predictions": listed, "count": count, "damaged": log.damaged})
            return
        _print(_table(found, wanted, utc=utc))
        more = f"; the newest {len(found):,} are shown" if len(found) + log.damaged < count else ""
        typer.echo(f"{_predictions(count)}{more}. {_times(wanted, found[-1] if found else None, utc=utc)}")
        _warn_of_damage(log)
    finally:
        log.close()


@app.command("export")
def export(
    device: DeviceOption = None,
    site: SiteOption = None,
    model: ModelOption = None,
    label: LabelOption = None,
    since: FromOption = None,
    until: ToOption = None,
    clock: ClockOption = "device",
    session: SessionOption = None,
    track: TrackOption = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write CSV here; - is standard output.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write Parquet here.")] = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    utc: UtcOption = False,
) -> None:
    """Write predictions, oldest first, to a file that is whole or not there. Times in files are UTC."""
    from edge_bridge.storage import prediction_export  # noqa: PLC0415
    from edge_bridge.storage.prediction_query import PredictionFilter  # noqa: PLC0415

    if (csv is None) == (parquet is None):
        raise UsageError("an export is one file", remedy="give --csv FILE or --parquet FILE")
    wanted = PredictionFilter(
        device=device, site=site, model=model, label=label, clock=clock, session=session, track=track,
        **_range(since, until, utc=utc),
    )  # fmt: skip
    log = _log(config, database)
    try:
        if parquet is not None:
            count = prediction_export.export_parquet(log.rows(wanted), parquet)
        elif csv == Path("-"):
            prediction_export.export_csv(log.rows(wanted), sys.stdout)
            return
        else:
            assert csv is not None  # noqa: S101  # one of them is given
            count = prediction_export.export_csv_file(log.rows(wanted), csv)
        typer.echo(f"{_predictions(count)} written to {visible(str(parquet or csv))}.")
        _warn_of_damage(log)
    finally:
        log.close()


def _log(config: Path | None, database: str | None) -> "PredictionLog":
    from edge_bridge import settings  # noqa: PLC0415
    from edge_bridge.storage.prediction_query import PredictionLog  # noqa: PLC0415

    return PredictionLog(settings.read(config, os.environ, database=database).database)


def _range(since: str | None, until: str | None, *, utc: bool) -> dict[str, Any]:
    now = datetime.fromtimestamp(time.time(), UTC)
    now = now if utc else now.astimezone()
    begin = moment(since, "--from", now) if since is not None else None
    end = moment(until, "--to", now) if until is not None else None
    if begin is not None and end is not None and begin >= end:
        raise UsageError("--from is not before --to", remedy="give the earlier one first")
    return {"since": begin, "until": end}


def _table(found: "Iterable[LoggedPrediction]", wanted: "PredictionFilter", *, utc: bool) -> Table:
    table = Table("time", "camera", "site", "model", "answer", "confidence", "track", "ms", box=None)
    for row in found:
        message = row.message
        when = message.time if wanted.clock == "device" else row.received
        table.add_row(
            shown(when, utc=utc),
            message.device,
            message.site,
            f"{message.model.name}-{message.model.release}",
            visible(message.label),
            f"{message.confidence:.2f}",
            str(message.track),
            f"{message.latency * 1000:.1f}",
        )
    return table


def _show_tally(log: "PredictionLog", wanted: "PredictionFilter", by: "list[By]", *, utc: bool, as_json: bool) -> None:
    tallies = log.tally(wanted, by)
    total = sum(each.predictions for each in tallies)
    if as_json:
        listed = [
            {
                **dict(zip(by, each.key, strict=True)),
                "count": each.predictions,
                "confidence": each.confidence,
                "first": each.first,
                "last": each.last,
            }
            for each in tallies
        ]
        _write_json({"tally": listed, "count": total})
        return
    table = Table(*by, "predictions", "share", "mean confidence", "first", "last", box=None)
    for each in tallies:
        table.add_row(
            *map(visible, each.key),
            f"{each.predictions:,}",
            f"{each.predictions / total:.1%}",
            f"{each.confidence:.2f}",
            shown(each.first, utc=utc),
            shown(each.last, utc=utc),
        )
    _print(table)
    typer.echo(f"{_predictions(total)}. {_times(wanted, None, utc=utc)}")


def _print(table: Table) -> None:
    width = None if sys.stdout.isatty() else 10_000  # a file or a pipe has no width
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def _write_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data))


def _predictions(count: int) -> str:
    return f"{count:,} prediction{'' if count == 1 else 's'}"


def _times(wanted: "PredictionFilter", last: "LoggedPrediction | None", *, utc: bool) -> str:
    clock = "by the camera's clock" if wanted.clock == "device" else "when the bridge received it"
    return f"Times: {zone_name(last.message.time if last is not None else time.time(), utc=utc)}, {clock}."


def _warn_of_damage(log: "PredictionLog") -> None:
    if log.damaged:
        typer.echo(f"edgewise: {_predictions(log.damaged)} could not be read and are left out.", err=True)
