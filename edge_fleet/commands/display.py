"""Progress on a terminal: bars for what is published, a line a device for what arrives. Silent for `--json`."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from edge_fleet.devices.view import Device
from edge_fleet.releases.publish import Progress as Report
from edge_fleet.releases.publish import silent


@contextlib.contextmanager
def transfer(*, quiet: bool) -> Iterator[Report]:
    """A bar for each thing published."""
    if quiet:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


@contextlib.contextmanager
def devices(*, quiet: bool) -> Iterator[Callable[[list[Device]], None]]:
    """A table that follows the devices."""
    if quiet:
        yield lambda _: None
        return
    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda shown: live.update(table(shown))


def table(shown: list[Device]) -> Table:
    """Devices as a table: state, model, update."""
    result = Table("device", "state", "groups", "model", "update", "progress", "reason", box=None, pad_edge=False)
    for device in sorted(shown, key=lambda one: one.id):
        row = describe(device)
        result.add_row(*(str(row[column]) for column in row))
    return result


def describe(device: Device) -> dict[str, str]:
    """The cells of one device's row, by column."""
    reported, info = device.reported, device.info
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
        "reason": reported.reason if reported else "",
    }


def as_text(shown: Table) -> str:
    """A table as lines of text, as wide as it needs to be: what is piped into a file is not cut."""
    console = Console(width=10_000, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(shown, end="")
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
