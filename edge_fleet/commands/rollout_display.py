"""What a terminal shows of a rollout."""

from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table

from edge_contract.visible import visible
from edge_fleet.rollout import machine
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.report import Report
from edge_fleet.rollout.store import Line

_SHOWN = 40
"""Devices in a table that follows; those that failed first."""
_ORDER = {"failed": 0, "under way": 1, "running": 2, "offline": 3}


def headline(state: State) -> str:
    """One line: what goes where, and how far it is."""
    what = f"{state.id}: {state.release.name} {state.release.release} in place of {state.rest.release}"
    if state.rest.name != state.release.name:
        what = f"{state.id}: {state.release.name} {state.release.release} in place of {state.rest.name}"
    return f"{what} for group {state.group}, {where(state)}"


def where(state: State) -> str:
    """How far it is."""
    if state.phase in machine.ENDED:
        return str(state.phase)
    stage = state.stages[state.position]
    paused = "paused, " if state.pause is not None else ""
    return f"{paused}{'before' if state.phase is machine.Phase.WAITING else 'in'} {stage}"


def status(report: Report) -> Group:
    """Everything about it."""
    state = report.state
    lines = [headline(state)]
    if state.reason:
        lines.append(visible(state.reason))
    if state.pause is not None:
        why = f": {state.pause.why}" if state.pause.why else ""
        lines.append(visible(f"Paused by {state.pause.by} at {_time(state.pause.since)}{why}"))
    if report.waits_for:
        lines.append(f"It waits for {report.waits_for}.")
    if state.returning:
        lines.append("Devices that ran it are on their way back.")
    if state.verdict is not None:
        lines += [visible(f"{one.gate}: {one.outcome}. {one.text}") for one in state.verdict.findings]
    parts: list[str | Table] = ["\n".join(lines), _stages(report)]
    if report.devices:
        parts.append(_devices(report))
    return Group(*parts)


def line(one: Line) -> str:
    """A line of the ledger."""
    return visible(f"{_time(one.time)}  {one.rollout}  {one.who}  {one.action}: {one.text}")


def _stages(report: Report) -> Table:
    table = Table("stage", "devices", "began", box=None, pad_edge=False)
    begun = report.state.begun
    for place, (stage, count) in enumerate(zip(report.state.stages, report.planned, strict=True)):
        table.add_row(str(stage), str(count), _time(begun[place]) if place < len(begun) else "")
    return table


def _devices(report: Report) -> Table:
    table = Table("device", "stands", "since", "reason", box=None, pad_edge=False)
    ordered = sorted(report.devices, key=lambda one: (_ORDER[one.progress], one.device))
    for one in ordered[:_SHOWN]:
        since = _time(one.since) if one.since else ""
        table.add_row(visible(one.device), one.failure or one.progress, since, visible(one.reason))
    if len(ordered) > _SHOWN:
        table.add_row(f"and {len(ordered) - _SHOWN} more", "", "", "")
    return table


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
