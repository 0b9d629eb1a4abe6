"""How a retraining loop stands, as lines of its page. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from edge_bridge.web.dashboard.words import NOTHING, ago, model, moment
from edge_contract.loop_status import ENDED, LoopRun, LoopStatus
from edge_contract.visible import visible

_OLD_S: Final = 180.0
"""A status that is older is of a loop that does not run: it is said again every minute."""
_NAMED: Final = 5
"""Devices of a run that are named."""
_LEVELS: Final = {"promoted": "good", "refused": "bad", "failed": "bad", "undone": "bad", "told": "warn"}


class Step(NamedTuple):
    """A line of a run's timeline."""

    time: str
    phase: str
    text: str


class Run(NamedTuple):
    """A run as it is shown."""

    id: str
    phase: str
    level: str
    """`bad`, `warn`, `good` or `note`."""
    headline: str
    """From what, on which devices."""
    facts: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]


class Loop(NamedTuple):
    """One model's."""

    model: str
    trouble: str
    """That nothing has been said for too long, as a sentence; empty where that is not so."""
    standing: tuple[tuple[str, str], ...]
    current: Run | None
    recent: tuple[Run, ...]


def loops(known: Mapping[str, LoopStatus], now: float) -> tuple[Loop, ...]:
    """All of them, by model."""
    return tuple(_loop(known[name], now) for name in sorted(known))


def _loop(status: LoopStatus, now: float) -> Loop:
    trouble = ""
    if now - status.time > _OLD_S:
        trouble = f"The loop said this {ago(now - status.time)}: see whether `edgewise loop serve` runs."
    standing = [("Trainings left this week", f"{status.budget_left:,}")]
    if status.paused:
        standing.append(("Paused", visible(status.paused)))
    if status.waits_until > now:
        standing.append(("Cooldown until", moment(status.waits_until)))
    current = None if status.current is None else _run(status.current, now)
    return Loop(status.model, trouble, tuple(standing), current, tuple(_run(each, now) for each in status.recent))


def _run(run: LoopRun, now: float) -> Run:
    facts = [("Decision", run.decision or NOTHING), ("Began", f"{moment(run.began)} ({ago(now - run.began)})")]
    if run.release is not None:
        facts.append(("Came of it", model(run.release)))
    if run.rollout:
        facts.append(("Rollout", visible(run.rollout)))
    facts += [(visible(name), _figure(name, value)) for name, value in sorted(run.measured.items())]
    steps = tuple(Step(moment(each.time), each.phase, visible(each.text)) for each in run.steps)
    level = _LEVELS.get(run.phase, "note") if run.phase in ENDED else "note"
    return Run(run.id, run.phase, level, _headline(run), tuple(facts), steps)


def _headline(run: LoopRun) -> str:
    named = ", ".join(run.devices[:_NAMED])
    more = f" and {len(run.devices) - _NAMED:,} more" if len(run.devices) > _NAMED else ""
    where = f" on {named}{more}" if named else ""
    return f"{visible(run.alert)}{where}: {visible(run.cause) or 'cause not known'}"


def _figure(name: str, value: float) -> str:
    return f"{value:.1%}" if "accuracy" in name and 0 <= value <= 1 else f"{value:g}"
