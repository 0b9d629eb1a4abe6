"""What a terminal shows: bars for what is published, a line a device for what arrives. Silent for `--json`.

Devices and packages write texts of their own. Here they become plain cells and lines: no markup, no control characters.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Literal

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from edge_contract.visible import visible, visible_lines
from edge_fleet.devices.view import Device
from edge_fleet.releases.publish import Progress as Report
from edge_fleet.releases.publish import silent


def terminal(*, stderr: bool = False, width: int | None = None) -> Console:
    """Where tables go. What stands in brackets or between colons is text, not markup."""
    color: Literal["auto"] | None = "auto" if width is None else None
    return Console(stderr=stderr, width=width, color_system=color, markup=False, emoji=False, highlight=False)


def write(text: str, *, err: bool = False) -> None:
    """Lines for people; what is foreign in a line was made `visible` where it was put there."""
    typer.echo(visible_lines(text), err=err)


@contextlib.contextmanager
def transfer(*, quiet: bool) -> Iterator[Report]:
    """A bar for each thing published."""
    if quiet:
        yield silent
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=terminal(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


@contextlib.contextmanager
def devices(*, quiet: bool) -> Iterator[Callable[[list[Device]], None]]:
    """A table that follows the devices."""
    with live(quiet=quiet) as show:
        yield lambda shown: show(table(shown))


@contextlib.contextmanager
def live(*, quiet: bool) -> Iterator[Callable[[RenderableType], None]]:
    """Something that is drawn anew as it changes."""
    if quiet:
        yield lambda _: None
        return
    with Live(console=terminal(stderr=True), refresh_per_second=4) as drawn:
        yield drawn.update


def table(shown: list[Device]) -> Table:
    """Devices as a table: state, model, update."""
    result = Table("device", "state", "groups", "model", "update", "progress", "reason", box=None, pad_edge=False)
    for device in sorted(shown, key=lambda one: one.id):
        row = describe(device)
        result.add_row(*(visible(str(row[column])) for column in row))
    return result


def describe(device: Device) -> dict[str, str]:
    """The cells of one device's row, by column."""
    reported, info = device.reported, device.info
    shared = "another device most likely has this id: give each its own device.id"
    active = reported.active if reported else None
    target = reported.target if reported else None
    update = f"{reported.state} {target.name} {target.release}" if reported and target else ""
    return {
        "device": device.id,
        "state": device.availability.state if device.availability else "unknown",
        "groups": ", ".join(info.groups) if info else "",
        "model": f"{active.name} {active.release} ({active.digest[:8]})" if active else "none",
        "update": update or (reported.state if reported else ""),
        "progress": f"{reported.progress:.0%}" if reported and target else "",
        "reason": shared if device.shares_id(time.time()) else reported.reason if reported else "",
    }


def as_text(shown: Table) -> str:
    """A table as lines of text, as wide as it needs to be: what is piped into a file is not cut."""
    console = terminal(width=10_000)
    with console.capture() as capture:
        console.print(shown, end="")
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
