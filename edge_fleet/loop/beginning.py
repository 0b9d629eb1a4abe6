"""How a run begins: alerts that fire become cases, and one of them a run, if nothing stands against it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_contract.loop_status import Decision, Phase
from edge_fleet.loop.alerts import Alert
from edge_fleet.loop.decide import AUGMENTATION, TRAINS, Labels
from edge_fleet.loop.diagnose import EVERY, Found, diagnose
from edge_fleet.loop.events import Entry, Looked, Terms
from edge_fleet.loop.state import WEEK_S, Handled, Run, State, budget_left, waits_until
from edge_fleet.loop.steps import current, to_end, to_phase

_DEVICES: Final = 128
_ENDS: Final[dict[Decision, Phase]] = {"tell": "told", "ask-labels": "labels-asked", "ignore": "ignored"}
_MOOT: Final = frozenset(_ENDS)
"""Answers that are asked for again while the alert fires: a person may accept the cause, labels may come."""


class Would(Struct, frozen=True):
    """What would be done about a case now."""

    cause: str
    decision: Decision
    devices: tuple[str, ...]
    text: str


def would(state: State, alerts: Sequence[Alert], labels: Mapping[str, Labels], terms: Terms, now: float) -> list[Would]:
    """For each case among these alerts, if nothing else fired."""
    found = []
    for case in diagnose(alerts, _accepted(state), labels, now, terms.lasting):
        text = f"{case.verdict.reason[:1].upper()}{case.verdict.reason[1:]}."
        if case.trains:
            under_way = "" if state.current is None else f"The run {state.current.id} is under way."
            text += f" {under_way or _withheld(state, terms, now) or 'A training would begin.'}"
        found.append(Would(case.cause, case.verdict.decision, case.devices[:_DEVICES], text))
    return found


def looked(state: State, event: Looked) -> tuple[State, tuple[Entry, ...]]:
    """The state after a look at what fires; a case begins a run, those without a training first."""
    firing = {alert.fingerprint: alert for alert in event.alerts}
    kept = {key: each for key, each in state.handled.items() if key in firing and firing[key].starts == each.starts}
    state = replace(state, handled=kept, trainings=tuple(t for t in state.trainings if event.now - t < WEEK_S))
    found = diagnose(event.alerts, _accepted(state), event.labels, event.now, event.terms.lasting)
    if state.current is not None:
        return _joined(state, state.current, found, event.terms), ()
    if state.paused or state.clearing:
        return state, ()
    news = [new for each in found if (new := _new(state, each, event.terms)) is not None]
    waits = ""
    for each in news:
        if each.trains and (waits := _withheld(state, event.terms, event.now)):
            break
        return _begun(state, each, event.terms, event.now)
    entries = (Entry("waits", waits),) if waits and waits != state.waits else ()
    return replace(state, waits=waits), entries


def _new(state: State, found: Found, terms: Terms) -> Found | None:
    """The alerts of a case that are not decided about, or were decided otherwise before something changed."""
    alerts = tuple(alert for alert in found.alerts if _is_new(state.handled.get(alert.fingerprint), found, terms))
    return Found(found.cause, found.verdict, alerts) if alerts else None


def _is_new(before: Handled | None, found: Found, terms: Terms) -> bool:
    if before is None or (before.rehearsed and not terms.dry_run):
        return True
    return before.decision in _MOOT and found.trains


def _withheld(state: State, terms: Terms, now: float) -> str:
    """Why no training may begin now, in a sentence; empty where it may."""
    if terms.dry_run:
        return ""
    if not budget_left(state, terms.trainings_per_week, now):
        return f"A training waits: {terms.trainings_per_week} a week are allowed, and they are used up."
    if now < waits_until(state, terms.cooldown):
        return "A training waits for the cooldown after the last one."
    return ""


def _begun(state: State, found: Found, terms: Terms, now: float) -> tuple[State, tuple[Entry, ...]]:
    decision = found.verdict.decision
    alert = found.alerts[0]
    cause = _shown(found)
    run = Run(
        id=f"{state.model[:48]}-run-{state.sequence + 1}",
        alert=alert.name,
        devices=found.devices[:_DEVICES],
        cause=cause,
        decision=decision,
        phase="diagnosing",
        augmentation=AUGMENTATION.get(found.cause, "") if decision == "retrain-augmented" else "",
        began=now,
        since=now,
    )
    state = replace(_handling(state, found, terms), sequence=state.sequence + 1, current=run, waits="")
    state, first = to_phase(
        state, run, "diagnosing", f"{_counted(found.alerts)}; the cause is {cause or 'not known'}", now
    )
    state, second = to_phase(state, current(state), "deciding", f"{decision}: {found.verdict.reason}", now)
    run = current(state)
    if decision not in TRAINS:
        state, third = to_end(state, run, _ENDS[decision], found.verdict.reason, now)
    elif terms.dry_run:
        text = (
            f"A dry run: a training would begin now ({decision}{f', {run.augmentation}' if run.augmentation else ''})"
        )
        state, third = to_end(state, run, "rehearsed", text, now)
    else:
        state = replace(_used(state, run, found), trainings=(*state.trainings, now))
        state, third = to_phase(state, run, "training", "A training is to begin", now)
    return state, (*first, *second, *third)


def _joined(state: State, run: Run, found: Iterable[Found], terms: Terms) -> State:
    """Alerts of the same case that come while a run is under way are covered by it."""
    for each in found:
        if (each.verdict.decision, _shown(each)) != (run.decision, run.cause):
            continue
        if (new := _new(state, each, terms)) is not None:
            run = replace(run, devices=tuple(sorted({*run.devices, *new.devices}))[:_DEVICES])
            state = replace(_used(_handling(state, new, terms), run, new), current=run)
    return state


def _handling(state: State, found: Found, terms: Terms) -> State:
    """The state in which these alerts are decided about."""
    decision = found.verdict.decision
    new = {
        alert.fingerprint: Handled(
            starts=alert.starts, decision=decision, device=alert.device, rehearsed=terms.dry_run and found.trains
        )
        for alert in found.alerts
    }
    return replace(state, handled={**state.handled, **new})


def _used(state: State, run: Run, found: Found) -> State:
    """The state in which what a person accepted of these devices is used up when the run ends."""
    devices = {*found.devices, EVERY}
    marked = tuple(
        replace(each, used=run.id) if each.cause == found.cause and each.device in devices else each
        for each in state.accepted
    )
    return replace(state, accepted=marked)


def _accepted(state: State) -> frozenset[tuple[str, str]]:
    return frozenset((each.device, each.cause) for each in state.accepted)


def _shown(found: Found) -> str:
    """The cause as it is shown: empty while it is not known."""
    return "" if found.cause in {"estimate", "other"} else found.cause


def _counted(alerts: tuple[Alert, ...]) -> str:
    devices = sorted({alert.device for alert in alerts if alert.device})
    where = (
        f" on {', '.join(devices[:3])}{f' and {len(devices) - 3} more' if len(devices) > 3 else ''}" if devices else ""
    )
    return f"{alerts[0].name}{where}"
