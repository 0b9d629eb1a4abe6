"""What a classifier's probabilities are worth: pure NumPy, shared by training, evaluation and the conversion gate."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution
CALIBRATION_BINS = 15  # Guo et al. 2017

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % interval, each 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scores:
    """One model on one set of images; `recall` holds NaN for a class without images."""

    n: int
    accuracy: Interval
    macro_f1: float
    recall: tuple[float, ...]
    calibration_error: float
    confusion: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two models on the same images: how often only one of them is right, and the exact two-sided p."""

    only_first: int
    only_second: int
    p_value: float


def wilson(successes: int, n: int, z: float = Z_95) -> Interval:
    """Wilson's score interval of a share (Wilson 1927); all of 0..1 when n is 0."""
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(share, min(low, share), max(high, share))  # rounding may leave shares of 0 and 1 outside


def confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts [classes, classes]; a row is the true class, a column the predicted one."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def recall_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each true class that was found; NaN where the class has no images."""
    totals = confusion.sum(axis=1)
    return np.where(totals > 0, np.diag(confusion) / np.maximum(totals, 1), np.nan)


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur in labels or predictions."""
    found = np.diag(confusion).astype(np.float64)
    weight = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = weight > 0
    return float(np.mean(2 * found[present] / weight[present])) if present.any() else math.nan


def reliability(
    labels: Labels, probabilities: Probabilities, bins: int = CALIBRATION_BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Per confidence bin of equal width: count, mean confidence and accuracy (0 in empty bins), each [bins]."""
    index, confidence, right = _binned(labels, probabilities, bins)
    count = np.bincount(index, minlength=bins)
    filled = np.maximum(count, 1)
    mean_confidence = np.bincount(index, weights=confidence, minlength=bins) / filled
    accuracy = np.bincount(index, weights=right, minlength=bins) / filled
    return count, mean_confidence, accuracy


def _binned(
    labels: Labels, probabilities: Probabilities, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each image its bin, its confidence, and 1 where the answer is right, each [N]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    # A bin is (low, high], as in Guo et al.; a confidence of exactly 0 belongs to the first.
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return index, confidence, right


def calibration_gaps(
    labels: Labels, probabilities: Probabilities, bins: int = CALIBRATION_BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each image its bin and its part in that bin's gap, [N] each: ECE is the mean size of the bins' sums."""
    index, confidence, right = _binned(labels, probabilities, bins)
    return index, confidence - right


def expected_calibration_error(labels: Labels, probabilities: Probabilities, bins: int = CALIBRATION_BINS) -> float:
    """ECE: the mean gap between confidence and accuracy, weighted by how many images a bin holds."""
    if len(labels) == 0:
        return math.nan
    count, confidence, accuracy = reliability(labels, probabilities, bins)
    return float(np.sum(count * np.abs(confidence - accuracy)) / len(labels))


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean negative log-likelihood of the labels, nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.mean(np.log(np.maximum(chosen, 1e-9))))


def mcnemar(right_first: NDArray[np.bool_], right_second: NDArray[np.bool_]) -> McNemar:
    """Exact McNemar test on paired answers (binomial with p = 1/2 over the discordant pairs)."""
    only_first = int(np.sum(right_first & ~right_second))
    only_second = int(np.sum(~right_first & right_second))
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    # Both are exact integers, so a thousand discordant pairs neither overflow nor underflow.
    p_value = min(1.0, 2 * tail / 2**discordant) if discordant else 1.0
    return McNemar(only_first, only_second, p_value)


def score(labels: Labels, probabilities: Probabilities) -> Scores:
    """Score probabilities [N, classes] against labels [N]."""
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    n = len(labels)
    return Scores(
        n=n,
        accuracy=wilson(int(np.trace(confusion)), n),
        macro_f1=macro_f1(confusion),
        recall=tuple(float(value) for value in recall_per_class(confusion)),
        calibration_error=expected_calibration_error(labels, probabilities),
        confusion=confusion,
    )
