"""What is wrong with the fleet, worst first: one sentence each, with the address that shows more of it. Pure.

Devices with the same trouble stand together, so that a site without power is one entry and not four hundred.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import GONE, RANK, Kind
from edge_bridge.web.alertmanager import Alerts
from edge_bridge.web.dashboard import alert_lines
from edge_bridge.web.dashboard.listing import Query, Row
from edge_contract.group_status import GroupStatus
from edge_contract.visible import visible

EACH: Final = 4
"""Devices of one kind that are named."""
SITES: Final = 4
"""Sites that are named of one kind."""
Level = Literal["bad", "warn", "note"]

_BAD: Final = GONE | {Kind.SHARED, Kind.FROZEN, Kind.BLIND, Kind.NO_FRAMES, Kind.WITHDRAWN, Kind.ENDED}
_HALTED: Final = RANK[Kind.REFUSED] - 0.5
"""A halted rollout stands before the devices that refused it."""
_UNHEARD: Final = -2.0
_FIRING: Final = -1.0
_WAITS: Final = float(len(RANK))
"""A rollout that waits for a person is the least."""


class Problem(NamedTuple):
    """One device or rollout."""

    subject: str
    text: str
    path: str


class Section(NamedTuple):
    """Problems of one kind."""

    rank: float
    level: Level
    heading: str
    problems: Sequence[Problem]
    more: str
    """How many others there are, and where; empty when all are named."""
    path: str
    """Where all of them are."""


def find(
    rows: Iterable[Row], groups: Mapping[str, GroupStatus], alerts: Alerts | None = None, now: float = 0.0
) -> list[Section]:
    """The sections, worst first; `alerts`: what Alertmanager said last, to unix time `now`."""
    by_kind: dict[Kind, list[tuple[Row, str]]] = {}
    for row in rows:
        for kind, text in _told(row):
            by_kind.setdefault(kind, []).append((row, text))
    sections = [_of_kind(kind, found) for kind, found in by_kind.items()]
    sections += _of_rollouts(groups)
    sections += _of_alerts(alerts, now) if alerts is not None else []
    return sorted(sections, key=lambda section: (section.rank, section.heading))


def worst(rows: Iterable[Row]) -> int:
    """How many devices have anything wrong."""
    return sum(bool(row.conditions) for row in rows)


def _told(row: Row) -> list[tuple[Kind, str]]:
    """Of a device that is gone nothing else is told here: what it had may have gone with it."""
    gone = [each for each in row.conditions if each.kind in GONE]
    return [(each.kind, each.text) for each in gone or row.conditions]


def _of_kind(kind: Kind, found: list[tuple[Row, str]]) -> Section:
    found.sort(key=lambda pair: pair[0].device)
    named = [Problem(row.device, f"{text}.", f"/device/{row.device}") for row, text in found[:EACH]]
    noun = "device" if len(found) == 1 else "devices"
    level: Level = "bad" if kind in _BAD else "warn"
    path = f"/devices{Query(trouble=kind).address}"
    return Section(RANK[kind], level, f"{len(found):,} {noun} {kind.text}", named, _others(found), path)


def _others(found: Sequence[tuple[Row, str]]) -> str:
    if len(found) <= EACH:
        return ""
    sites = Counter(row.site or "no site" for row, _ in found)
    places = ", ".join(f"{count:,} at {site}" for site, count in sites.most_common(SITES))
    further = f" and {len(sites) - SITES:,} more sites" if len(sites) > SITES else ""
    return f"all {len(found):,}: {places}{further}"


def _of_rollouts(groups: Mapping[str, GroupStatus]) -> list[Section]:
    halted, waiting = [], []
    for name, status in sorted(groups.items()):
        rollout = status.rollout
        if rollout is None:
            continue
        path, release = f"/rollout/{name}", record.short(rollout.release)
        if rollout.phase == "halted":
            text = f"{release} was halted: {visible(rollout.reason).rstrip('.') or 'a gate failed'}."
            halted.append(Problem(name, text, path))
        elif rollout.phase in {"waiting", "shadow", "wave"} and rollout.paused:
            waiting.append(Problem(name, f"{release} is paused: {visible(rollout.paused).rstrip('.')}.", path))
        elif rollout.phase in {"shadow", "wave"} and rollout.failed:
            since = f", {rollout.silent:,} of them silent since" if rollout.silent else ""
            waiting.append(Problem(name, f"{release} failed on {rollout.failed:,} of its stage{since}.", path))
    sections = []
    if halted:
        sections.append(_rollouts(_HALTED, "bad", halted, "halted"))
    if waiting:
        sections.append(_rollouts(_WAITS, "note", waiting, "to look at"))
    return sections


def _of_alerts(alerts: Alerts, now: float) -> list[Section]:
    """That Alertmanager is away, before all else: then no one is told of anything; and what fires unsilenced."""
    sections = []
    if alerts.problem:
        sections.append(Section(_UNHEARD, "warn", "Alertmanager does not answer", (), alerts.problem, "/alerts"))
    firing = [each for each in alert_lines.lines(alerts.alerts, now) if not each.quiet and each.level != "note"]
    if firing:
        named = [Problem(each.name, each.summary, "/alerts") for each in firing[:EACH]]
        level: Level = "bad" if firing[0].level == "bad" else "warn"
        more = f"all {len(firing):,}" if len(firing) > EACH else ""
        noun = "alert" if len(firing) == 1 else "alerts"
        sections.append(Section(_FIRING, level, f"{len(firing):,} {noun} firing", named, more, "/alerts"))
    return sections


def _rollouts(rank: float, level: Level, found: Sequence[Problem], what: str) -> Section:
    noun = "rollout" if len(found) == 1 else "rollouts"
    more = f"all {len(found):,}" if len(found) > EACH else ""
    return Section(rank, level, f"{len(found):,} {noun} {what}", found[:EACH], more, "/rollouts")
