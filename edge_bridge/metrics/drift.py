"""Drift as samples: what is learned, what speaks for a change, which alarms hold, how right answers are likely to be.

A device that is not up shows none of it, as with its other series: what it answered last is of the past.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from edge_bridge.drift.evidence import finding
from edge_bridge.drift.present import estimates_of
from edge_bridge.drift.state import DriftState
from edge_bridge.drift.view import Method, ReferenceKind
from edge_bridge.drift.watch import Drift
from edge_bridge.fleet.record import short
from edge_bridge.metrics.text import Family, Text, escape
from edge_contract.manifest import Reference

_ALARM: Final = Family(
    "edgewise_drift", "1 while a device answers otherwise than a reference, with the probable cause."
)
_EVIDENCE: Final = Family(
    "edgewise_drift_evidence", "log10 of the e-value of a change: without one it passes x in 10**x months on average."
)
_EFFECT: Final = Family("edgewise_drift_effect_ratio", "By how much the share of tracks moved that moved most.")
_TRACKS: Final = Family("edgewise_drift_baseline_tracks", "Tracks that a device's own baseline was learned from.")
_FROZEN: Final = Family("edgewise_drift_baseline_frozen", "1 once the baseline of a device is complete.")
_ESTIMATE: Final = Family(
    "edgewise_estimated_accuracy_ratio", "Share of right answers lately, estimated without labels (docs/drift.md)."
)


class _Figures(NamedTuple):
    """What was made of one device's record; made anew when the record was judged again."""

    judged: float
    model: str
    reference: Reference | None
    findings: tuple[tuple[ReferenceKind, float, float], ...]
    """Reference, evidence, effect."""
    estimates: tuple[tuple[Method, float], ...]


class DriftFamilies:
    """The families of `/metrics` that tell of drift. Two scrapes at once do some work twice."""

    def __init__(self, drift: Drift) -> None:
        self._drift = drift
        self._figures: dict[str, _Figures] = {}

    def write(self, shown: Collection[str], *, openmetrics: bool = False) -> str:
        """Of these devices."""
        drift = self._drift
        states = sorted((each for each in drift.states() if each.device in shown), key=_device)
        self._figures = {each.device: self._of(each) for each in states}
        labels = {each.device: _labels(drift, each) for each in states}
        figures = [(labels[device], each) for device, each in self._figures.items()]
        out = Text(openmetrics=openmetrics)
        alarms = [each for each in drift.alarms_among(states) if each.device in labels]
        of_alarms = ((f'{labels[each.device]},reference="{each.reference}",cause="{each.cause}"', 1) for each in alarms)
        out.family(_ALARM, "gauge", of_alarms)
        of_references = [
            (f'{text},reference="{kind}"', evidence, effect)
            for text, each in figures
            for kind, evidence, effect in each.findings
        ]
        out.family(_EVIDENCE, "gauge", ((text, evidence) for text, evidence, _ in of_references))
        out.family(_EFFECT, "gauge", ((text, effect) for text, _, effect in of_references))
        out.family(_TRACKS, "gauge", ((labels[each.device], each.baseline.tracks) for each in states))
        out.family(_FROZEN, "gauge", ((labels[each.device], int(each.baseline.frozen > 0)) for each in states))
        of_estimates = (
            (f'{text},method="{method}"', value) for text, each in figures for method, value in each.estimates
        )
        out.family(_ESTIMATE, "gauge", of_estimates)
        return str(out)

    def _of(self, state: DriftState) -> _Figures:
        reference = self._drift.reference(state.model.digest)
        known = self._figures.get(state.device)
        same = known is not None and (known.judged, known.model) == (state.judged, state.model.digest)
        if known is not None and same and known.reference is reference:
            return known
        findings = (
            (kind, round(found.log10, 3), round(abs(found.effect), 4))
            for kind, evidence in state.evidence.items()
            if (found := finding(evidence)) is not None
        )
        estimates = ((each.method, round(each.value, 4)) for each in estimates_of(state, reference))
        return _Figures(state.judged, state.model.digest, reference, tuple(findings), tuple(estimates))


def _device(state: DriftState) -> str:
    return state.device


def _labels(drift: Drift, state: DriftState) -> str:
    return f'site="{escape(drift.site(state.device))}",device="{state.device}",model="{escape(short(state.model))}"'
