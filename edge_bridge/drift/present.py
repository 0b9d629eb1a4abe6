"""From a device's record to what people are shown: alarms with a sentence, the baseline, estimates."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from edge_bridge.drift.correlation import Correlation
from edge_bridge.drift.estimate import estimates
from edge_bridge.drift.evidence import UNSURE, finding
from edge_bridge.drift.packed import unpack
from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import DriftState
from edge_bridge.drift.tracks import BUCKETS
from edge_bridge.drift.view import Alarm, Cause, DeviceDrift, Estimate, ReferenceKind
from edge_bridge.drift.week import PARTS
from edge_contract.manifest import Reference

_AGAINST: Final[Mapping[ReferenceKind, str]] = {
    "manifest": "than its model was on test pictures",
    "baseline": "than while its baseline was learned",
    "peers": "than the other devices of its group",
}
_BECAUSE: Final[Mapping[Cause, str]] = {
    "dark": "faces are darker than at these hours before: look at the light",
    "bright": "faces are brighter than at these hours before: look for a lamp or the sun in the picture",
    "blurred": "faces are less sharp than before: clean the lens, and look at its focus",
    "far": "faces are smaller than before: has the camera or the place where people stand moved?",
    "turned": "faces lean to the side: has the camera turned?",
    "covered": "the picture lost its contrast and faces are missed: look whether something is before the lens",
    "answers": "pictures are as before, so people show other faces; if that is to stay, let it learn again",
    "fleet": "many devices of this model changed at once: look at what they have in common, and at the model",
    "unknown": "the pictures do not say why: look at them",
}


def alarms_of(state: DriftState, site: str) -> list[Alarm]:
    """The alarms that hold, by the device alone."""
    found = []
    for kind, evidence in state.evidence.items():
        result = finding(evidence)
        if evidence.since and result is not None:
            cause = state.causes.get(kind, "unknown")
            found.append(
                Alarm(
                    device=state.device, site=site, model=state.model, reference=kind, cause=cause,
                    since=evidence.since, evidence=result.log10, effect=abs(result.effect),
                    sentence=sentence(state.labels, kind, result.row, result.effect, cause),
                )
            )  # fmt: skip
    return found


def sentence(labels: tuple[str, ...], kind: ReferenceKind, row: int, effect: float, cause: Cause) -> str:
    """What changed, by how much, and the probable cause."""
    points = round(100 * abs(effect))
    if row == UNSURE:
        what = f"{points} of 100 answers more are {'unsure' if effect > 0 else 'sure'} {_AGAINST[kind]}"
    else:
        way = "more" if effect > 0 else "fewer"
        what = f"{points} of 100 answers {way} are {labels[row - 1]} {_AGAINST[kind]}"
    return f"{what}; {_BECAUSE[cause]}"


def estimates_of(state: DriftState, reference: Reference | None) -> tuple[Estimate, ...]:
    """Accuracy without labels, of the tracks of lately."""
    if reference is None or not state.recent:
        return ()
    rows = rows_of(state)
    tracks = sum(map(sum, rows.values()))
    return estimates(rows, state.recent_sure, reference, tracks / scatter(state.baseline.confidence))


def scatter(correlation: Correlation) -> float:
    """Tracks that are worth one independent track, over many blocks of usual size."""
    usual = 4.0
    return usual / correlation.worth(usual)


def rows_of(state: DriftState) -> dict[str, list[float]]:
    """The tracks of lately by label and bucket of confidence."""
    recent = unpack(state.recent)
    return {
        label: recent[at * BUCKETS : (at + 1) * BUCKETS]
        for at, label in enumerate(state.labels)
        if (at + 1) * BUCKETS <= len(recent)
    }


def device_drift(
    state: DriftState,
    site: str,
    settings: DriftSettings,
    reference: Reference | None,
    alarms: tuple[Alarm, ...],
    *,
    comparable: bool,
) -> DeviceDrift:
    """How the device stands; `alarms` as they are shown, `comparable` as of `DeviceDrift`."""
    mix = unpack(state.baseline.mix)
    counted = {
        label: sum(mix[at * PARTS : (at + 1) * PARTS])
        for at, label in enumerate(state.labels)
        if (at + 1) * PARTS <= len(mix)
    }
    lately = {label: sum(row) for label, row in rows_of(state).items()}
    findings = {kind: found for kind, each in state.evidence.items() if (found := finding(each)) is not None}
    return DeviceDrift(
        device=state.device, site=site, model=state.model, learned=state.baseline.tracks,
        wanted=settings.commission_tracks, hours=settings.commission_hours, since=state.baseline.since,
        frozen=state.baseline.frozen, mix=_as_shares(counted), recent=_as_shares(lately),
        evidence={kind: found.log10 for kind, found in findings.items()},
        effect={kind: abs(found.effect) for kind, found in findings.items()},
        comparable=comparable, estimates=estimates_of(state, reference), alarms=alarms,
    )  # fmt: skip


def _as_shares(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()} if total else {}


def with_cause(alarm: Alarm, cause: Cause) -> Alarm:
    """The same alarm with another cause, and the sentence that goes with it."""
    what = alarm.sentence.removesuffix(_BECAUSE[alarm.cause])
    return replace(alarm, cause=cause, sentence=what + _BECAUSE[cause])
