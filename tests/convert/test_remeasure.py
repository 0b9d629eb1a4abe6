"""A package of an earlier version gets today's reference, and nothing else of it changes; with other pictures none."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from convert import remeasure
from convert.checks import measure
from edge_contract import package
from edge_contract.errors import UsageError
from edge_contract.manifest import Accuracy, Lineage, Reference, Score
from edge_contract.package import ModelPackage
from train.data.dataset import Dataset, save

PICTURES, SOURCE = 60, "s" * 64


@pytest.fixture(scope="module")
def data(tiny: ModelPackage) -> Dataset:
    noise = np.random.default_rng(3)
    images = np.repeat(noise.integers(0, 256, (PICTURES, 6, 6, 1), np.uint8), 8, axis=1).repeat(8, axis=2)
    split = np.arange(PICTURES, dtype=np.uint8) % 3  # train, selection, test
    labels = noise.integers(0, 7, PICTURES).astype(np.uint8)
    return Dataset(images, labels, split, tiny.manifest.labels, np.zeros((PICTURES, 0), np.uint8), (), SOURCE)


@pytest.fixture(scope="module")
def earlier(tiny: ModelPackage, data: Dataset) -> ModelPackage:
    """As an earlier version packaged it: what it scored, and shares of its answers."""
    rows = data.split_indices("test")
    answers, _ = measure.answers_of(tiny.model, tiny.manifest, data.images[rows])
    named = answers.argmax(axis=1)
    right = float((named == data.labels[rows]).mean())
    score = Score(dataset="noise", split="test", label_set="noise", n=len(rows), accuracy=right, low=0.0, high=1.0)
    shares = {label: float((named == number).mean()) for number, label in enumerate(tiny.manifest.labels)}
    manifest = msgspec.structs.replace(
        tiny.manifest,
        accuracy=Accuracy(float=score, int8=score),
        reference=Reference(predictions=shares),
        lineage=Lineage(dataset=SOURCE),
    )
    return tiny._replace(manifest=manifest)


def test_the_reference_is_measured_and_all_else_stays(earlier: ModelPackage, data: Dataset, tmp_path: Path) -> None:
    save(data, tmp_path / "dataset.npz")
    (tmp_path / "earlier.ewm").write_bytes(package.write(earlier))
    arguments = ["--package", str(tmp_path / "earlier.ewm"), "--data", str(tmp_path / "dataset.npz")]
    assert remeasure.main([*arguments, "--output", str(tmp_path / "new.ewm")]) == 0
    new = package.read_file(tmp_path / "new.ewm")
    found = new.manifest.reference
    assert sum(map(sum, found.by_label.values())) == PICTURES / 3
    assert earlier.manifest.accuracy is not None
    assert sum(map(sum, found.right.values())) == round(earlier.manifest.accuracy.int8.accuracy * PICTURES / 3)
    assert found.sure_above is None or 0 < found.sure_above <= 1
    assert new == earlier._replace(manifest=msgspec.structs.replace(earlier.manifest, reference=found))


def test_with_other_pictures_or_labels_it_is_refused(earlier: ModelPackage, data: Dataset) -> None:
    with pytest.raises(UsageError, match="was packaged with other pictures than these"):
        remeasure.remeasure(earlier, replace(data, source_digest="t" * 64))
    with pytest.raises(UsageError, match="answers these pictures otherwise than its manifest says"):
        remeasure.remeasure(earlier, replace(data, labels=(data.labels + 1) % 7))
    bare = earlier._replace(manifest=msgspec.structs.replace(earlier.manifest, accuracy=None))
    with pytest.raises(UsageError, match="was never measured"):
        remeasure.remeasure(bare, data)
