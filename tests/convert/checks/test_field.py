"""Labelled faces from devices: when the gate refuses for them, by tables of answers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from convert.checks import field_faces
from convert.checks.decision import decide
from convert.checks.field_faces import FieldFaces
from convert.settings import GateSettings
from tests.convert.checks.test_decision import LIMITS, SOUND
from train.data.dataset import Dataset

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
Numbers = NDArray[np.int64]
rng = np.random.default_rng


def faces(labels: Numbers, *, device: NDArray[np.uint16] | None = None, held_out: float = 0.4) -> Dataset:
    """So many faces of one device (or of those numbered), of which the first share is held out, all by chance."""
    count = len(labels)
    split = np.where(np.arange(count) % 10 < 10 * held_out, 4, 0).astype(np.uint8)
    origin = np.ones(count, np.uint16) if device is None else device
    return Dataset(
        np.zeros((count, 1, 1, 1), np.uint8), labels.astype(np.uint8), split, NAMES, np.zeros((count, 0), np.uint8), (),
        "d", origin, ("", "cam-1", "cam-2"), np.ones(count, bool),
    )  # fmt: skip


def truth(count: int = 300) -> Numbers:
    return rng(1).integers(0, 7, count)


def right_in(labels: Numbers, share: float, seed: int) -> Numbers:
    """Answers of which such a share is right and the others are any other label."""
    off = rng(seed).integers(1, 7, len(labels))
    return np.where(rng(seed + 100).random(len(labels)) < share, labels, (labels + off) % 7)


def reasons(data: Dataset, ours: Numbers, its: Numbers | None, limits: GateSettings = LIMITS) -> list[str]:
    found = field_faces.measure(data, ours, its, "emotion 5")
    return list(decide(replace(SOUND, field=found), limits).reasons)


def test_faces_that_both_models_know_alike_are_no_reason() -> None:
    labels = truth()
    assert reasons(faces(labels), right_in(labels, 0.6, 2), right_in(labels, 0.6, 3)) == []
    assert reasons(faces(labels), right_in(labels, 0.8, 2), right_in(labels, 0.4, 3)) == []
    assert reasons(faces(labels), right_in(labels, 0.6, 2), None) == []


def test_a_model_that_is_worse_on_faces_held_out_is_refused_with_the_exact_p() -> None:
    labels = truth()
    (reason,) = reasons(faces(labels), right_in(labels, 0.4, 2), right_in(labels, 0.7, 3))
    assert reason.startswith("field: emotion 5 is better by ")
    assert "on 120 faces" in reason
    assert "McNemar p = " in reason


def test_faces_that_were_not_kept_by_chance_do_not_count() -> None:
    """Faces kept because the champion was unsure would make any other model look better than it is, and it worse."""
    labels = truth()
    data = replace(faces(labels), chance=np.zeros(len(labels), bool))
    (reason,) = reasons(data, right_in(labels, 0.4, 2), right_in(labels, 0.7, 3))
    assert "of 0 that chance chose" in reason


def test_too_few_faces_to_tell_are_said_to_be_too_few() -> None:
    labels = truth(60)
    (reason,) = reasons(faces(labels), right_in(labels, 0.6, 2), right_in(labels, 0.6, 3))
    assert reason.startswith("field: 36 faces from devices were learned from, and of 24 that chance chose nothing was")
    fewer = msgspec.structs.replace(LIMITS, field_least=20)
    assert reasons(faces(labels), right_in(labels, 0.6, 2), right_in(labels, 0.6, 3), fewer) == []


def test_faces_that_nothing_learned_from_may_be_few() -> None:
    labels = truth(20)
    assert reasons(faces(labels, held_out=1.0), right_in(labels, 0.6, 2), right_in(labels, 0.6, 3)) == []


def swapped(labels: Numbers) -> Numbers:
    return np.array([0, 1, 2, 4, 3, 5, 6])[labels]


def turned_round(labels: Numbers) -> Numbers:
    return (labels + 1) % 7


@pytest.mark.parametrize("wrong", [swapped, turned_round])
def test_a_device_whose_labels_were_exchanged_is_named_though_the_model_learned_them(
    wrong: Callable[[Numbers], Numbers],
) -> None:
    labels = truth(600)
    device = np.repeat(np.array([1, 2], np.uint16), 300)
    given = np.where(device == 2, wrong(labels), labels)
    learned = right_in(given, 0.8, 2)  # better on the wrong labels than the champion: no comparison refuses this
    (reason,) = reasons(faces(given, device=device), learned, right_in(labels, 0.7, 3))
    assert reason.startswith("labels of cam-2: ")
    assert "happy is labelled sad" in reason
    assert "leave the device out" in reason


def test_a_device_labelled_by_luck_is_named() -> None:
    labels = truth(600)
    device = np.repeat(np.array([1, 2], np.uint16), 300)
    given = np.where(device == 2, rng(9).integers(0, 7, 600), labels)
    ours, its = right_in(labels, 0.7, 2), right_in(labels, 0.7, 3)
    (reason,) = reasons(faces(given, device=device), ours, its)
    assert reason.startswith("labels of cam-2: of 120 faces")


@pytest.mark.parametrize(
    "its",
    [
        pytest.param(lambda labels: np.full_like(labels, 6), id="one label throughout"),
        pytest.param(lambda labels: np.where(rng(4).random(len(labels)) < 0.7, 6, labels), id="mostly one label"),
        pytest.param(lambda labels: right_in(labels, 0.25, 5), id="hardly anything"),
    ],
)
def test_a_camera_in_the_dark_is_not_taken_for_wrong_labels(its: Callable[[Numbers], Numbers]) -> None:
    labels = rng(1).choice(7, 300, p=[0.05, 0.05, 0.05, 0.4, 0.15, 0.1, 0.2])
    assert reasons(faces(labels), right_in(labels, 0.6, 2), its(labels)) == []


def test_honest_labels_are_hardly_ever_called_wrong() -> None:
    """Of two hundred fields of 100 faces each, none."""
    for seed in range(200):
        labels = rng(seed).integers(0, 7, 100)
        assert reasons(faces(labels), right_in(labels, 0.6, seed), right_in(labels, 0.5, seed + 1)) == []


def test_data_without_faces_from_devices_are_judged_as_before() -> None:
    found = decide(SOUND, LIMITS)
    assert found.checks["field"] is None
    assert field_faces.measure(faces(truth(0)), truth(0), None, "") is None


def test_the_record_is_read_back_as_it_was() -> None:
    labels = truth(60)
    found: Any = field_faces.measure(faces(labels), right_in(labels, 0.6, 2), None, "")
    assert msgspec.json.decode(msgspec.json.encode(found), type=FieldFaces) == found
