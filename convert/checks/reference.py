"""What a model answers on pictures whose labels are known, against which answers in the field are held. Pure NumPy."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import Reference
from edge_contract.messages import CONFIDENCE_BOUNDS

_BUCKETS: Final = len(CONFIDENCE_BOUNDS) + 1


def reference_of(
    named: NDArray[np.float32], truth: NDArray[np.integer], labels: tuple[str, ...], sure: float | None
) -> Reference:
    """The reference of probabilities [N, labels] to pictures with label numbers [N].

    A bucket of confidence holds what is at most its bound, as a device's telemetry counts it. `sure`: see `sure_above`.
    """
    answered, confidence = named.argmax(axis=1), named.max(axis=1)
    counts = np.zeros((2, len(labels), _BUCKETS), np.int64)
    bucket = np.searchsorted(CONFIDENCE_BOUNDS, confidence, side="left")
    np.add.at(counts[0], (answered, bucket), 1)
    right = answered == truth
    np.add.at(counts[1], (answered[right], bucket[right]), 1)
    every = counts[0]
    by_label, right_by_label = (
        {label: tuple(map(int, row)) for label, row in zip(labels, table, strict=True)} for table in counts
    )
    return Reference(
        predictions={label: float(row.sum() / len(named)) for label, row in zip(labels, every, strict=True)},
        confidence=tuple(float(count / len(named)) for count in every.sum(axis=0)),
        by_label=by_label,
        right=right_by_label,
        sure_above=sure,
    )


def sure_above(named: NDArray[np.float32], truth: NDArray[np.integer]) -> float | None:
    """The confidence that as many of these pictures reach as were answered rightly; None where none was.

    The answers of a quantized model come in steps: of the two steps around that number, the one that is nearer to it.
    """
    confidence = np.sort(named.max(axis=1))[::-1]
    right = int((named.argmax(axis=1) == truth).sum())
    if not right:
        return None
    steps = np.unique(confidence)
    reached = np.searchsorted(-confidence, -steps, side="right")
    return min(1.0, float(steps[np.abs(reached - right).argmin()]))
