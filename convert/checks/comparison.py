"""Two answers to the same images, paired: what one model loses against another. Pure NumPy; nothing is judged here.

Pairing matters: two models' accuracies on 3,589 images each have an interval of 1.5 points, but int8 and float differ
on so few images that their difference is known to a tenth of a point.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from train.scoring.scores import Z_95, Interval, calibration_gaps, expected_calibration_error, mcnemar, wilson

Probabilities = NDArray[np.floating]
DRAWS: Final = 400
"""Of the bootstrap: its bounds are known to a twentieth of their distance then."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against a reference on the same images."""

    n: int
    reference_accuracy: Interval
    accuracy: Interval
    drop: Interval
    """Accuracy lost against the reference; negative when it gained."""
    mcnemar: float
    """p-value: how likely it is that the images which only one of them gets right split so by chance."""
    recall: dict[str, float]
    recall_drop: dict[str, Interval]
    agreement: float
    """Share of images on which both name the same label."""
    largest_difference: float
    """Largest difference of a probability, over images and labels."""
    mean_difference: float
    ece: float
    """Expected calibration error, 15 bins."""
    reference_ece: float
    relabelling: dict[str, str]
    """Labels that would fit the answers better under another's name, by the best one-to-one assignment."""
    relabelling_gain: float
    """Accuracy that this renaming would win; 0 when the labels stand where they belong."""
    tested: dict[str, int] = field(default_factory=dict)
    """Images of each label; empty in the record of a gate that did not count them."""
    balanced: Interval | None = None
    """Mean recall of the labels that have images, between the means of their bounds."""
    ece_rise: Interval | None = None
    """`ece` above `reference_ece`, by a bootstrap over the images; absent in an earlier record, as the next."""
    relabelling_won: Interval | None = None
    """`relabelling_gain`, paired with the names as they are."""


def compare(
    reference: Probabilities, answers: Probabilities, truth: NDArray[np.integer], labels: list[str]
) -> Comparison:
    """Compare probabilities [N, labels], both in the order of `labels`, on images whose label numbers are `truth`."""
    expected, answered = reference.argmax(axis=1), answers.argmax(axis=1)
    expected_right, right = expected == truth, answered == truth
    off = np.abs(reference.astype(np.float64) - answers)
    names, won = _relabelling(answered, truth, len(labels))
    recall, recall_drop, tested = {}, {}, {}
    for number, label in enumerate(labels):
        rows = truth == number
        tested[label] = int(rows.sum())
        if rows.any():
            recall[label] = float(right[rows].mean())
            recall_drop[label] = paired_difference(expected_right[rows], right[rows])
    return Comparison(
        n=len(truth),
        reference_accuracy=_accuracy(expected_right),
        accuracy=_accuracy(right),
        drop=paired_difference(expected_right, right),
        mcnemar=mcnemar(expected_right, right).p_value,
        recall=recall,
        recall_drop=recall_drop,
        agreement=float((expected == answered).mean()),
        largest_difference=float(off.max()),
        mean_difference=float(off.mean()),
        ece=expected_calibration_error(truth, answers),
        reference_ece=expected_calibration_error(truth, reference),
        relabelling={labels[at]: labels[name] for at, name in enumerate(names) if at != name},
        relabelling_gain=won.value,
        tested=tested,
        balanced=_balanced(right, truth),
        ece_rise=calibration_rise(truth, reference, answers),
        relabelling_won=won,
    )


def paired_difference(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Interval:
    """Share right of `first` minus that of `second`, with the interval of Agresti and Min (2005).

    Half an image is added to each cell of the 2x2 table, so that the interval keeps its promise when the two differ on
    few images or none.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    count = len(first) + 2.0
    b, c = only_first + 0.5, only_second + 0.5
    middle = (b - c) / count
    half = Z_95 * math.sqrt(max(0.0, b + c - (b - c) ** 2 / count)) / count
    return Interval((only_first - only_second) / len(first), middle - half, middle + half)


def calibration_rise(truth: NDArray[np.integer], reference: Probabilities, answers: Probabilities) -> Interval:
    """Expected calibration error of `answers` above the reference's, with a 95 % interval.

    A bootstrap that draws the same images for both. Its interval is turned at the estimate (the pivotal one): an error
    of few images is too large, and that of those drawn from them too large by as much again.
    """
    random, count = np.random.default_rng(0), len(truth)
    gaps = [calibration_gaps(truth, each) for each in (answers, reference)]
    drawn = []
    for _ in range(DRAWS):
        times = random.multinomial(count, np.full(count, 1 / count))
        ours, theirs = (np.abs(np.bincount(bins, times * gap)).sum() / count for bins, gap in gaps)
        drawn.append(ours - theirs)
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    rise = expected_calibration_error(truth, answers) - expected_calibration_error(truth, reference)
    return Interval(rise, 2 * rise - high, 2 * rise - low)


def _balanced(right: NDArray[np.bool_], truth: NDArray[np.integer]) -> Interval:
    of_labels = [_accuracy(right[truth == number]) for number in np.unique(truth)]
    values = np.array([(share.value, share.low, share.high) for share in of_labels])
    return Interval(*values.mean(axis=0).tolist())


def _accuracy(right: NDArray[np.bool_]) -> Interval:
    return wilson(int(right.sum()), len(right))


def _relabelling(
    answered: NDArray[np.integer], truth: NDArray[np.integer], labels: int
) -> tuple[NDArray[np.integer], Interval]:
    """Would other names for the outputs fit better? The names with the most right answers, and what they win.

    The outputs' own where none wins.
    """
    table = np.zeros((labels, labels), np.int64)
    np.add.at(table, (answered, truth), 1)
    _, names = linear_sum_assignment(-table)
    if table[np.arange(labels), names].sum() <= np.trace(table):
        names = np.arange(labels)
    return names, paired_difference(names[answered] == truth, answered == truth)
