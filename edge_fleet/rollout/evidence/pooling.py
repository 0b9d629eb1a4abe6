"""What a shadow's devices counted, together: none heavier than others, and alike looks counted as fewer. Pure."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from edge_fleet.rollout.evidence.evidence import Evidence, weights
from edge_fleet.rollout.evidence.gains import LABELS
from edge_fleet.rollout.kind import Kind

ALIKE: Final = 2.0
"""For so many looks one is believed until the stretches tell."""
ALIKE_STRETCHES: Final = 20
"""As many stretches does that first belief weigh."""


class Pooled(Struct, kw_only=True):
    """All devices' counts together, no device's heavier than `weights` lets it be."""

    looks: float = 0.0
    failures: float = 0.0
    agreed: float = 0.0
    less_sure: float = 0.0
    more_sure: float = 0.0
    slower: float = 0.0
    skipped: float = 0.0
    confusion: dict[str, dict[str, float]] = {}
    sure: dict[str, float] = {}
    contradicted: dict[str, float] = {}

    def add(self, evidence: Evidence, weight: float) -> None:
        """Count one device in."""
        found = evidence.shadow
        self.looks += weight * found.looks
        self.failures += weight * found.failures
        self.agreed += weight * found.agreed
        self.less_sure += weight * found.less_sure
        self.more_sure += weight * found.more_sure
        self.slower += weight * found.slower
        self.skipped += weight * found.skipped
        for label, row in found.confusion.items():
            _add(self.confusion.setdefault(label, {}), row, weight)
        _add(self.sure, found.sure, weight)
        _add(self.contradicted, found.contradicted, weight)

    def labels(self) -> list[str]:
        """Those with most looks by either model, by the alphabet: a device may invent as many as it likes."""
        looks: dict[str, float] = {}
        for label, row in self.confusion.items():
            for other, count in row.items():
                for named in {label, other}:
                    looks[named] = looks.get(named, 0.0) + count
        return _most(looks)

    def sure_labels(self) -> list[str]:
        """Those of which the old release was sure most often, by the alphabet, for the same reason."""
        return _most(self.sure)


def held(evidence: Mapping[str, Evidence]) -> dict[str, float]:
    """What each device's counts are multiplied by."""
    return weights({device: float(one.shadow.looks + one.shadow.failures) for device, one in evidence.items()})


def pooled(
    kinds: Mapping[str, Kind], evidence: Mapping[str, Evidence], heavy: Mapping[str, float]
) -> tuple[Pooled, dict[Kind, Pooled]]:
    """All devices together, and each kind apart."""
    everyone, of_kind = Pooled(), {kind: Pooled() for kind in sorted(set(kinds.values()))}
    for device, one in evidence.items():
        everyone.add(one, heavy[device])
        of_kind[kinds[device]].add(one, heavy[device])
    return everyone, of_kind


def together(evidence: Mapping[str, Evidence]) -> Pooled:
    """All devices together."""
    everyone, heavy = Pooled(), held(evidence)
    for device, one in evidence.items():
        everyone.add(one, heavy[device])
    return everyone


def _add(sums: dict[str, float], counts: Mapping[str, int], weight: float) -> None:
    for label, count in counts.items():
        sums[label] = sums.get(label, 0.0) + weight * count


def _most(looks: Mapping[str, float]) -> list[str]:
    return sorted(sorted(looks, key=lambda label: (-looks[label], label))[:LABELS])


def alike(evidence: Mapping[str, Evidence], heavy: Mapping[str, float]) -> float:
    """How many looks count as one: the scatter between stretches, against that of independent looks."""
    scatter = expected = 0.0
    stretches = 0
    for device, one in evidence.items():
        found = one.shadow.disagreed.scaled(heavy[device])
        if found.stretches < 2:
            continue
        stretches += found.stretches
        scatter += found.scatter * found.stretches / (found.stretches - 1)
        expected += found.mean * (1 - found.mean) * found.weight
    measured = scatter / expected if expected > 0 else 1.0
    return max(1.0, (ALIKE_STRETCHES * ALIKE + stretches * measured) / (ALIKE_STRETCHES + stretches))
