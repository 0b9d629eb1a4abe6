"""How a group's rollout stands, as lines and numbers of its page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from edge_bridge.intervals import wilson
from edge_bridge.web.dashboard.words import NOTHING, ago, model, moment, per_cent
from edge_contract.group_status import GroupStatus, RolloutStatus, ShadowStatus, StageStatus
from edge_contract.visible import visible

RUNNING: Final = frozenset({"waiting", "shadow", "wave"})
_OLD_S: Final = 180.0
"""A status that is older while a rollout runs is of one that nothing conducts: it is said again every minute."""


class Line(NamedTuple):
    """A group in the list of rollouts."""

    group: str
    release: str
    phase: str
    """What the chip shows: the phase, or `paused`."""
    place: str
    standing: str
    when: str


def lines(groups: Mapping[str, GroupStatus], now: float) -> list[Line]:
    """Groups, those whose rollout runs or was halted first."""
    order = {"halted": 0, "shadow": 1, "wave": 1, "waiting": 2, "aborted": 3}
    statuses = sorted(
        groups.values(), key=lambda each: (order.get(each.rollout.phase, 4) if each.rollout else 5, each.group)
    )
    return [_line(each, now) for each in statuses]


def stage_rows(rollout: RolloutStatus) -> list[tuple[str, ...]]:
    """The shadow and each wave: what it is, its share, its devices, when it began."""
    return [
        (
            stage_name(stage),
            per_cent(stage.share, 1 if stage.share < 0.1 else 0),
            f"{stage.devices:,}",
            moment(stage.began) if stage.began else ("next" if number == rollout.position else NOTHING),
        )
        for number, stage in enumerate(rollout.stages)
    ]


def here(rollout: RolloutStatus) -> int:
    """The row of the stage that runs, or begins next; -1 when it is over."""
    return rollout.position if rollout.phase in RUNNING else -1


def stage_name(stage: StageStatus) -> str:
    """Shadow, or which wave."""
    return "shadow" if stage.number == 0 else f"wave {stage.number}"


def standing(rollout: RolloutStatus, now: float) -> list[tuple[str, str]]:
    """Where it stands, as facts."""
    found = [
        ("Release", model(rollout.release)),
        ("Instead of", model(rollout.rest)),
        ("Started", f"{moment(rollout.started)} ({ago(now - rollout.started)})"),
    ]
    if rollout.ended:
        found.append(("Ended", f"{moment(rollout.ended)} ({ago(now - rollout.ended)})"))
    found.append(("Devices of the stage", counts(rollout)))
    for name, text in (
        ("Waits for", rollout.waits_for),
        ("Paused", rollout.paused),
        ("Why it ended", rollout.reason),
    ):
        if text:
            found.append((name, visible(text)))
    return found


def counts(rollout: RolloutStatus) -> str:
    """Who of the stage runs it, failed, is away."""
    failed = f"{rollout.failed:,} failed" + (f" ({rollout.silent:,} silent since)" if rollout.silent else "")
    return f"{rollout.running:,} run it, {failed}, {rollout.offline:,} offline"


def chip(rollout: RolloutStatus) -> str:
    """The phase in one word."""
    return "paused" if rollout.paused and rollout.phase in RUNNING else rollout.phase


def matrix(shadow: ShadowStatus) -> tuple[list[str], list[list[float]]]:
    """Labels, and counts by the label of the release that answers (rows) and of the one on trial (columns)."""
    labels = sorted({*shadow.confusion, *(label for row in shadow.confusion.values() for label in row)})
    return labels, [[shadow.confusion.get(row, {}).get(column, 0.0) for column in labels] for row in labels]


def shadow_facts(shadow: ShadowStatus) -> list[tuple[str, str]]:
    """What both releases answered on the same faces."""
    if shadow.looks <= 0:
        return []
    agreed = wilson(shadow.agreed, shadow.looks)
    within = f" [{agreed.low:.1%}, {agreed.high:.1%}]" if agreed is not None else ""
    return [
        ("Looks", f"{shadow.looks:,.0f}"),
        ("Agreed", f"{shadow.agreed / shadow.looks:.1%}{within}"),
        ("No answer", f"{shadow.failures:,.0f}"),
        ("Less sure, more sure", f"{shadow.less_sure:,.0f}, {shadow.more_sure:,.0f}"),
        ("Slower", f"{shadow.slower:,.0f}"),
    ]


def findings(rollout: RolloutStatus) -> list[tuple[str, str, str]]:
    """Gate, outcome, sentence; what failed first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    found = sorted(rollout.findings, key=lambda each: order[each.outcome])
    return [(visible(each.gate), each.outcome, visible(each.text)) for each in found]


def behind(status: GroupStatus) -> Sequence[tuple[str, str, str]]:
    """Device, kind, sentence."""
    return [(each.device, each.kind, visible(each.why)) for each in status.behind]


def stale(status: GroupStatus, now: float) -> str:
    """That nothing has been said of a rollout that runs for too long, as a sentence."""
    running = status.rollout is not None and status.rollout.phase in RUNNING
    if not running or now - status.time < _OLD_S:
        return ""
    return (
        f"The release side said this {ago(now - status.time)}: see whether `edgewise fleet serve` runs, "
        "without it no rollout goes on."
    )


def _line(status: GroupStatus, now: float) -> Line:
    rollout = status.rollout
    if rollout is None:
        waiting = f"{len(status.behind):,} behind" if status.behind else "all run it"
        return Line(status.group, model(status.desired), "", NOTHING, waiting, NOTHING)
    stage = next(iter(rollout.stages[rollout.position : rollout.position + 1]), None)
    place = f"{stage_name(stage)}, {per_cent(stage.share)}" if stage is not None and here(rollout) >= 0 else NOTHING
    when = f"ended {ago(now - rollout.ended)}" if rollout.ended else f"started {ago(now - rollout.started)}"
    return Line(status.group, model(rollout.release), chip(rollout), place, counts(rollout), when)
