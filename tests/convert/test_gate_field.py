"""Labelled faces from devices through the gate with a real model: sound ones pass, wrong labels are refused."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import gate, package
from convert.artifacts import Converted
from convert.settings import GateSettings, PackageSettings
from convert.tflite import runtimes
from edge_contract.manifest import Lineage
from tests.convert.shapes import Trained, shapes
from train.data.dataset import Dataset

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine

SETTINGS = GateSettings(required_runtimes=("litert",), timed=20)
FACES = 150  # of each of two devices


def with_faces(data: Dataset, labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> Dataset:
    """The data with these faces of `cam-1` and `cam-2`, a third of them held out."""
    split = np.where(np.arange(2 * FACES) % 3 == 0, 4, 0).astype(np.uint8)
    return replace(
        data,
        images=np.concatenate([data.images, images]),
        labels=np.concatenate([data.labels, labels]),
        split=np.concatenate([data.split, split]),
        votes=np.zeros((len(data.labels) + 2 * FACES, 0), np.uint8),
        origin=np.concatenate([np.zeros(len(data.labels), np.uint16), np.repeat(np.array([1, 2], np.uint16), FACES)]),
        origins=("", "cam-1", "cam-2"),
        chance=np.concatenate([np.zeros(len(data.labels), bool), np.ones(2 * FACES, bool)]),
    )


@pytest.mark.parametrize("poisoned", [False, True])
def test_a_device_whose_crops_are_labelled_wrong_is_refused_by_name(
    poisoned: bool, converted: Converted, trained: Trained
) -> None:
    images, labels = shapes(2 * FACES, seed=17)
    exchanged = np.array([0, 1, 2, 4, 3, 5, 6], np.uint8)  # happy and sad
    given = np.where(poisoned & (np.arange(2 * FACES) >= FACES), exchanged[labels], labels).astype(np.uint8)
    matrix = (runtimes.LITERT,)
    plain = gate.judge(converted, trained.data, SETTINGS, synthetic=False, matrix=matrix)
    settings = PackageSettings(name="shapes", dataset="shapes", label_set="", caveat="")
    champion = package.assemble(converted, plain, settings, Lineage())
    data = with_faces(trained.data, given, images)
    record = gate.judge(converted, data, SETTINGS, synthetic=False, champion=champion, matrix=matrix)
    assert record.n == plain.n  # the old test stays the old test
    assert record.measurements.field is not None
    assert record.measurements.field.n == 2 * FACES // 3
    if not poisoned:
        assert record.result.reasons == ()
        assert record.measurements.field.drop is not None
        assert record.measurements.field.drop.value == 0
        return
    assert [reason.partition(":")[0] for reason in record.result.reasons] == ["labels of cam-2"]
    assert "happy is labelled sad" in record.result.reasons[0]
