"""What two models answer to labelled faces from devices: on those held out of training, and device by device. Pure.

Accuracies are of faces that devices kept by chance alone: of those kept because the champion was unsure it is wrong
more often than elsewhere, and any other model would look better on them than it is. Labels of a device are looked at on
all of its faces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.checks.comparison import compare, paired_difference
from train.data.dataset import BASE, Dataset
from train.scoring.scores import Interval, mcnemar, wilson

Answers = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class DeviceFaces:
    """One device's labels beside what models answer."""

    device: str
    n: int
    held_out: int
    accuracy: Interval
    """Of this model on the faces held out."""
    by_luck: float
    """What answers of this model would reach there that had nothing to do with the labels."""
    known_n: int
    known: Interval
    """Of the champion on all of them, or of this model on those held out where there is no champion."""
    known_by_luck: float
    majority: float
    """Share of the most frequent label."""
    renamed: Interval
    """Accuracy of `known` if labels had other names, one for one."""
    renaming: dict[str, str]
    """Answers, and the label that stands where they should."""
    renaming_gain: Interval


@dataclass(frozen=True, slots=True)
class FieldFaces:
    """All devices'. The first six are of faces that chance chose and nothing learned from."""

    n: int
    accuracy: Interval
    champion: str
    champion_accuracy: Interval | None
    drop: Interval | None
    """Accuracy of the champion minus that of this model."""
    mcnemar: float | None
    learned: int
    """Faces from devices among those that are learned from."""
    devices: tuple[DeviceFaces, ...] = ()


def faces_of_devices(data: Dataset) -> NDArray[np.intp]:
    """Row numbers of all faces from devices, ascending."""
    return np.flatnonzero(data.origin > 0) if len(data.origin) else np.arange(0)


def measure(data: Dataset, ours: Answers, its: Answers | None, champion: str) -> FieldFaces | None:
    """Compare label numbers [N] that this model and the champion name for `faces_of_devices`; None without faces."""
    rows = faces_of_devices(data)
    if not len(rows):
        return None
    truth = data.labels[rows]
    held_out = np.isin(rows, data.split_indices("field"))
    judged = held_out & data.chance[rows]
    right = (ours == truth)[judged]
    theirs = None if its is None else (its == truth)[judged]
    devices = []
    for number, name in enumerate(data.origins):
        at = data.origin[rows] == number
        if name != BASE and at.any():
            devices.append(_device(name, truth[at], ours[at], None if its is None else its[at], held_out[at], data))
    compared = theirs is not None and len(right) > 0
    return FieldFaces(
        n=len(right),
        accuracy=wilson(int(right.sum()), len(right)) if len(right) else _NOTHING,
        champion=champion,
        champion_accuracy=wilson(int(theirs.sum()), len(theirs)) if theirs is not None and compared else None,
        drop=paired_difference(theirs, right) if theirs is not None and compared else None,
        mcnemar=mcnemar(theirs, right).p_value if theirs is not None and compared else None,
        learned=int((~held_out).sum()),
        devices=tuple(devices),
    )


_NOTHING = Interval(0.0, 0.0, 1.0)
"""Of no image: a record holds no NaN."""


def _device(
    name: str,
    truth: Answers,
    ours: Answers,
    its: Answers | None,
    held_out: NDArray[np.bool_],
    data: Dataset,
) -> DeviceFaces:
    known_truth, known = (truth[held_out], ours[held_out]) if its is None else (truth, its)
    renamed, renaming = _renamed(known, known_truth, data.label_names)
    return DeviceFaces(
        device=name,
        n=len(truth),
        held_out=int(held_out.sum()),
        accuracy=_share(ours[held_out] == truth[held_out]),
        by_luck=_by_luck(ours[held_out], truth[held_out]),
        known_n=len(known),
        known=_share(known == known_truth),
        known_by_luck=_by_luck(known, known_truth),
        majority=float(np.bincount(known_truth).max() / len(known_truth)) if len(known_truth) else 0.0,
        renamed=_share(renamed == known_truth),
        renaming=renaming,
        renaming_gain=paired_difference(renamed == known_truth, known == known_truth) if len(known) else _NOTHING,
    )


def _share(right: NDArray[np.bool_]) -> Interval:
    return wilson(int(right.sum()), len(right)) if len(right) else _NOTHING


def _by_luck(answered: Answers, truth: Answers) -> float:
    """Share of equal labels if both were drawn apart from one another (Cohen 1960)."""
    if not len(truth):
        return 0.0
    most = 1 + int(max(answered.max(), truth.max()))
    shares = [np.bincount(labels, minlength=most) / len(labels) for labels in (answered, truth)]
    return float(shares[0] @ shares[1])


def _renamed(answered: Answers, truth: Answers, names: tuple[str, ...]) -> tuple[Answers, dict[str, str]]:
    """The answers under the names that fit the labels best, one for one."""
    if not len(truth):
        return answered, {}
    eye = np.eye(len(names), dtype=np.float32)
    moves = compare(eye[truth], eye[answered], truth, list(names)).relabelling
    table = np.array([names.index(moves.get(name, name)) for name in names])
    return table[answered], {name: label for name, label in moves.items() if (answered == names.index(name)).any()}
