"""Which cause stands behind alerts, and which of them are one case. Pure.

What is wrong with a camera explains all that alerts about it: a device whose camera was turned brings no accuracy to
train for, whatever else fires there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge_contract.loop_status import Decision
from edge_fleet.loop.alerts import Alert
from edge_fleet.loop.decide import CAUSES, TRAINS, Case, Cause, Labels, Verdict, decide

EVERY: Final = "all"
"""In place of a device's name: accepted for every device."""


@dataclass(frozen=True, slots=True)
class Found:
    """Alerts that have one cause and one answer."""

    cause: Cause
    verdict: Verdict
    alerts: tuple[Alert, ...]

    @property
    def devices(self) -> tuple[str, ...]:
        """Those of the alerts."""
        return tuple(sorted({alert.device for alert in self.alerts if alert.device}))

    @property
    def trains(self) -> bool:
        """Whether it asks for a training."""
        return self.verdict.decision in TRAINS


def named_cause(alert: Alert) -> Cause:
    """What one alert says by itself; a cause that is not known here is `unknown`: a person has to look."""
    match alert.name:
        case "FleetDrift":
            return "fleet"
        case "EstimatedAccuracyLow":
            return "estimate"
        case "Drift":
            return next((cause for cause in CAUSES[:-2] if cause == alert.cause), "unknown")
    return "other"


def causes(alerts: Iterable[Alert]) -> dict[str, Cause]:
    """The cause of each alert, by fingerprint: of those that fire on one device the one that explains the others."""
    known = list(alerts)
    of_device: dict[str, Cause] = {}
    for alert in known:
        cause = named_cause(alert)
        before = of_device.get(alert.device, "other")
        of_device[alert.device] = min(before, cause, key=CAUSES.index)
    found: dict[str, Cause] = {}
    for alert in known:
        own = named_cause(alert)
        found[alert.fingerprint] = of_device[alert.device] if alert.device and own != "other" else own
    return found


def diagnose(
    alerts: Sequence[Alert],
    accepted: frozenset[tuple[str, str]],
    labels: Mapping[str, Labels],
    now: float,
    lasting: float,
) -> list[Found]:
    """Cases among alerts that fire, those that need no training first.

    `accepted`: device and cause, by a person. `labels`: by NAME-RELEASE. `lasting`: seconds for which a cause fires
    before it is learned.
    """
    by_case: dict[tuple[Cause, Decision, str], list[Alert]] = {}
    verdicts: dict[tuple[Cause, Decision, str], Verdict] = {}
    by_cause = causes(alerts)
    for alert in alerts:
        cause = by_cause[alert.fingerprint]
        case = Case(
            cause,
            accepted=(alert.device, cause) in accepted or (EVERY, cause) in accepted,
            lasts=now - alert.starts >= lasting,
            labels=labels.get(alert.model, Labels()),
        )
        verdict = decide(case)
        key = cause, verdict.decision, alert.model
        by_case.setdefault(key, []).append(alert)
        verdicts.setdefault(key, verdict)
    found = [Found(key[0], verdicts[key], tuple(of_case)) for key, of_case in by_case.items()]
    return sorted(found, key=lambda one: (one.trains, CAUSES.index(one.cause)))
