"""The gate `shadow`: both models on the same faces, before anyone sees an answer of the new one. Pure.

Looks that are paired say more than two samples: a difference of the models is seen in the few faces on which they
differ, whatever is in front of the cameras. Looks of the same minutes resemble one another; how much is measured by the
scatter of the disagreements between stretches of ten minutes, and so many fewer looks are believed.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from edge_contract.visible import visible
from edge_fleet.rollout.evidence.evidence import Evidence
from edge_fleet.rollout.evidence.pooling import Pooled, alike, held, pooled
from edge_fleet.rollout.gates import asked
from edge_fleet.rollout.gates.asked import Asked
from edge_fleet.rollout.gates.bounds import Interval
from edge_fleet.rollout.gates.verdict import Finding, Outcome, Verdict
from edge_fleet.rollout.gates.wording import faults, listed, percent, points
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import Plan, ShadowGate

GATE: Final = "shadow"
ROOM: Final = 0.1
"""By so much may the agreement in a room be lower than on test pictures."""
RARE: Final = 0.05
"""What concerns fewer of the looks than this is judged where it fails, and not waited for: two labels together, and
the looks of which the old release is sure, which an agent from before they were counted says nothing of."""


def judge_shadow(
    plan: Plan,
    kinds: Mapping[str, Kind],
    evidence: Mapping[str, Evidence],
    *,
    online: Collection[str] | None = None,
    reference: float | None = None,
) -> Verdict:
    """What the shadow says.

    Args:
        plan: With a shadow gate; without one the verdict passes.
        kinds: The devices that run both models, and what they are like.
        evidence: By device; of others than these nothing is counted.
        online: Those of them that can be reached; None where that is not known.
        reference: The agreement that the gate measured between these two models on its test pictures: the plan's limit
            is lowered to it, less the tenth by which a room may differ from test pictures.
    """
    gate = plan.shadow
    if gate is None:
        return Verdict(findings=(Finding(gate=GATE, outcome=Outcome.PASS, text="The plan has no shadow."),))
    taking_part = {device: evidence[device] for device in kinds if device in evidence}
    heavy = held(taking_part)
    everyone, of_kind = pooled(kinds, taking_part, heavy)
    findings = [*_missing(gate, kinds, everyone, of_kind, online)]
    families = _families(gate, everyone, of_kind, 1 / alike(taking_part, heavy), reference)
    findings += [asked.answer(GATE, family, risk=plan.risk, halt=plan.risk / len(families)) for family in families]
    if note := faults(taking_part, [device for device, weight in heavy.items() if weight < 1]):
        findings.append(Finding(gate=GATE, outcome=Outcome.PASS, text=note))
    return Verdict(findings=tuple(findings))


def families_of(
    gate: ShadowGate, kinds: Mapping[str, Kind], evidence: Mapping[str, Evidence], reference: float | None = None
) -> list[list[Asked]]:
    """The questions that are judged, by family; none before the first face."""
    heavy = held(evidence)
    everyone, of_kind = pooled(kinds, evidence, heavy)
    return _families(gate, everyone, of_kind, 1 / alike(evidence, heavy), reference)


def _families(
    gate: ShadowGate, everyone: Pooled, of_kind: Mapping[Kind, Pooled], believed: float, reference: float | None
) -> list[list[Asked]]:
    if not everyone.looks + everyone.failures:
        return []
    limit = gate.agreement if reference is None else min(gate.agreement, max(0.0, reference - ROOM))
    families = [
        [_agreement(everyone, believed, limit)],
        list(_shift(everyone, believed, gate)),
        [_less_sure(everyone, believed, gate)],
        list(_swapped(everyone, believed, gate)),
        list(_contradicted(everyone, believed, gate)),
        [_slower(kind, found, believed, gate) for kind, found in of_kind.items() if found.looks],
        list(_failures(everyone, of_kind, believed, gate)),
    ]
    return [family for family in families if family]


def _missing(
    gate: ShadowGate,
    kinds: Mapping[str, Kind],
    everyone: Pooled,
    of_kind: Mapping[Kind, Pooled],
    online: Collection[str] | None,
) -> Iterator[Finding]:
    if not kinds:
        yield _open("No device takes part in the shadow.")
    looks = math.floor(everyone.looks)
    if looks < gate.faces:
        skipped = f"; {everyone.skipped:.0f} were left out for lack of time" if everyone.skipped else ""
        yield _open(f"{looks} of {gate.faces} faces{skipped}.")
    silent = [kind for kind, found in of_kind.items() if not found.looks + found.failures]
    away = [
        kind
        for kind in silent
        if online is not None and not any(kinds[name] == kind for name in online if name in kinds)
    ]
    if away:
        yield _open(f"No device of kind {listed(map(_kind, away))} is online.")
    if waiting := [kind for kind in silent if kind not in away]:
        yield _open(f"No face yet on a device of kind {listed(map(_kind, waiting))}.")


def _agreement(found: Pooled, believed: float, limit: float) -> Asked:
    looks = found.looks * believed

    def text(differ: Interval) -> str:
        return (
            f"Both name the same label on {percent(found.agreed / found.looks if found.looks else 0)} of "
            f"{found.looks:.0f} faces ({percent(1 - differ.high)} to {percent(1 - differ.low)}, counted as {looks:.0f} "
            f"independent ones; at least {percent(limit)} are asked for)"
        )

    return asked.share((found.looks - found.agreed) * believed, looks, 1 - limit, text)


def _shift(found: Pooled, believed: float, gate: ShadowGate) -> Iterator[Asked]:
    for label in found.labels():
        gained = sum(row.get(label, 0.0) for other, row in found.confusion.items() if other != label) * believed
        lost = sum(count for other, count in found.confusion.get(label, {}).items() if other != label) * believed
        for more, less, word in ((gained, lost, "more"), (lost, gained, "less")):

            def text(change: Interval, label: str = label, word: str = word) -> str:
                return (
                    f"The new release says {visible(label)} {word} often by {points(change.low)} to "
                    f"{points(change.high)} points (at most {points(gate.shift)} are allowed)"
                )

            yield asked.difference(more, less, found.looks * believed, gate.shift, text)


def _less_sure(found: Pooled, believed: float, gate: ShadowGate) -> Asked:
    def text(change: Interval) -> str:
        return (
            f"It is less sure rather than more sure on {percent(change.low)} to {percent(change.high)} of the faces "
            f"(at most {percent(gate.less_sure)} are allowed)"
        )

    counts = (found.less_sure * believed, found.more_sure * believed, found.looks * believed)
    return asked.difference(*counts, gate.less_sure, text)


def _swapped(found: Pooled, believed: float, gate: ShadowGate) -> Iterator[Asked]:
    named = {label: sum(row.values()) for label, row in found.confusion.items()}
    for one, two in itertools.combinations(found.labels(), 2):
        looks = named.get(one, 0.0) + named.get(two, 0.0)
        crossed = found.confusion.get(one, {}).get(two, 0.0) + found.confusion.get(two, {}).get(one, 0.0)

        def text(crossing: Interval, one: str = one, two: str = two, looks: float = looks) -> str:
            return (
                f"Of {looks:.0f} faces that were {visible(one)} or {visible(two)}, {percent(crossing.low)} to "
                f"{percent(crossing.high)} are now the other of the two (at most {percent(gate.swapped)} are allowed)"
            )

        if looks > 0:
            needed = looks >= RARE * found.looks
            yield asked.share(crossed * believed, looks * believed, gate.swapped, text, needed=needed)


def _contradicted(found: Pooled, believed: float, gate: ShadowGate) -> Iterator[Asked]:
    """Over all labels, and for each: a defect that exchanges two of them is diluted in all."""
    every = (None, sum(found.sure.values()), sum(found.contradicted.values()))
    each = ((label, found.sure[label], found.contradicted.get(label, 0.0)) for label in found.sure_labels())
    for label, sure, contradicted in (every, *each):

        def text(other: Interval, label: str | None = label, sure: float = sure) -> str:
            named = "" if label is None else f" that it was {visible(label)}"
            return (
                f"Of {sure:.0f} faces of which the old release was sure{named}, the new one calls {percent(other.low)} "
                f"to {percent(other.high)} something else (at most {percent(gate.contradicted)} are allowed)"
            )

        if sure > 0:
            # A label of its own would have to see hundreds of faces to pass; it can only fail.
            needed = label is None and sure >= RARE * found.looks
            yield asked.share(contradicted * believed, sure * believed, gate.contradicted, text, needed=needed)


def _slower(kind: Kind, found: Pooled, believed: float, gate: ShadowGate) -> Asked:
    def text(slow: Interval) -> str:
        return (
            f"On {_kind(kind)} it took more than {gate.terms.slower:g} times as long on {percent(slow.low)} to "
            f"{percent(slow.high)} of {found.looks:.0f} faces (at most {percent(gate.slower)} are allowed)"
        )

    return asked.share(found.slower * believed, found.looks * believed, gate.slower, text)


def _failures(everyone: Pooled, of_kind: Mapping[Kind, Pooled], believed: float, gate: ShadowGate) -> Iterator[Asked]:
    for kind, found in ((None, everyone), *of_kind.items()):
        tried = found.looks + found.failures

        def text(failing: Interval, kind: Kind | None = kind, found: Pooled = found, tried: float = tried) -> str:
            where = f"On {_kind(kind)} it" if kind is not None else "It"
            return (
                f"{where} gave no answer on {found.failures:.0f} of {tried:.0f} faces ({percent(failing.low)} to "
                f"{percent(failing.high)}, at most {percent(gate.failures)} are allowed)"
            )

        # A kind of its own would have to see thousands of faces to pass; it can only fail.
        yield asked.share(found.failures * believed, tried * believed, gate.failures, text, needed=kind is None)


def _kind(kind: Kind) -> str:
    return visible(str(kind))


def _open(text: str) -> Finding:
    return Finding(gate=GATE, outcome=Outcome.INCONCLUSIVE, text=text)
