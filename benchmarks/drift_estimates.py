"""Accuracy as it is estimated without labels, beside the true one, on test pictures that a camera spoiled.

The reference is of the selection split, so no picture stands on both sides.
"""

from typing import Final, NamedTuple

import numpy as np
from rich.table import Table

from benchmarks.drift_pictures import BUCKETS, Answers, Faces, Model, reference_of, spoiled
from edge_bridge.drift.estimate import estimates
from edge_contract.manifest import Reference

FAMILIES: Final[dict[str, tuple[float, ...]]] = {
    "clean": (0,),
    "low_light": (0.5, 0.25, 0.1),
    "blur": (0.7, 1.2, 2.0),
    "turned": (10, 20, 30),
    "jpeg": (60, 30, 12),
    "small": (32, 24, 16),
}
"""As the robustness report has them, mild to severe; `turned` in degrees, `small` in pixels a side."""
BEYOND: Final[dict[str, tuple[float, ...]]] = {
    "low_light": (0.05,), "blur": (3.0,), "turned": (45,), "jpeg": (5,), "small": (12,)
}  # fmt: skip
"""Where the model answers less than half rightly: shown, and counted apart."""


class Estimated(NamedTuple):
    """One kind of picture."""

    name: str
    true: float
    by_method: dict[str, float]
    beyond: bool


def rows_of(answers: Answers, labels: tuple[str, ...]) -> dict[str, list[float]]:
    """Answers by label and bucket, as a device counts tracks."""
    return {
        name: np.bincount(answers.bucket[answers.label == at], minlength=BUCKETS).astype(float).tolist()
        for at, name in enumerate(labels)
    }


def measured(model: Model, test: Faces, reference: Reference) -> list[Estimated]:
    """Every family and strength."""
    found = []
    for families, beyond in ((FAMILIES, False), (BEYOND, True)):
        for family, strengths in families.items():
            for strength in strengths:
                answers = model.answers(spoiled(test.images, family, strength))
                sure = float((answers.confidence >= (reference.sure_above or 0.0)).sum())
                told = estimates(rows_of(answers, model.manifest.labels), sure, reference, len(test.labels))
                true = float((answers.label == test.labels).mean())
                name = family if family == "clean" else f"{family} {strength:g}"
                found.append(Estimated(name, true, {each.method: each.value for each in told}, beyond))
    return found


def selection_reference(model: Model, selection: Faces) -> Reference:
    """What the manifest of this model would say, had it been measured on the selection split alone."""
    return reference_of(model.answers(selection.images), selection.labels, model.manifest.labels)


def errors(rows: list[Estimated], *, beyond: bool) -> dict[str, float]:
    """Mean absolute error by method, in points, over spoiled pictures: as in use, or with those beyond it too."""
    kept = [row for row in rows if row.name != "clean" and (beyond or not row.beyond)]
    methods = kept[0].by_method
    return {
        method: round(100 * float(np.mean([abs(row.by_method[method] - row.true) for row in kept])), 2)
        for method in methods
    }


def table(rows: list[Estimated]) -> Table:
    """For people."""
    shown = Table("pictures", "true", "thresholded", "calibrated", title="Accuracy estimated without labels")
    for row in rows:
        values = [
            f"{row.by_method[each]:.1%} ({100 * (row.by_method[each] - row.true):+.1f})"
            for each in ("thresholded", "calibrated")
        ]
        shown.add_row(row.name + (" (beyond use)" if row.beyond else ""), f"{row.true:.1%}", *values)
    return shown
