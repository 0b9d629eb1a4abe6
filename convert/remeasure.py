"""A package made by an earlier version, with the reference of today: how its model answers, label by label.

    python -m convert.remeasure --package models/emotion-5.ewm --data data/dataset.npz --output build/emotion-5.ewm

Drift and estimated accuracy are measured against it. Model, card and all that the manifest says stay as they are; the
pictures must be those that it was packaged with, which is proved by its own figures: they come out the same.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.checks import measure, reference
from convert.tflite.candidate import input_of
from edge_contract import package
from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from edge_contract.manifest import ModelManifest, Reference, Score
from edge_contract.package import ModelPackage
from train.data.dataset import Dataset, load

_SAME: Final = 1e-6
"""Shares are written as floats: two that differ by less are of the same count of pictures."""


def remeasure(packaged: ModelPackage, data: Dataset, split: str = "test") -> ModelPackage:
    """The package with the reference measured on `data`.

    Raises:
        UsageError: these are not the pictures it was packaged with.
        EdgewiseError: the model gave no answers.
    """
    manifest = packaged.manifest
    if manifest.accuracy is None:
        raise UsageError(f"{packaged.file_name} was never measured", remedy="package it again")
    if manifest.lineage.dataset != data.source_digest or manifest.input != input_of(data.images):
        raise UsageError(
            f"{packaged.file_name} was packaged with other pictures than these",
            remedy="prepare the data as they were then (`make data`)",
        )
    rows = data.split_indices(split)
    answers, _ = measure.answers_of(packaged.model, manifest, data.images[rows])
    named, truth = measure.in_order(answers, manifest.labels, data.label_names), data.labels[rows]
    found = reference.reference_of(named, truth, data.label_names, None)
    _check_same(manifest, manifest.accuracy.int8, found, named.argmax(axis=1) == truth)
    found = msgspec.structs.replace(found, sure_above=measure.sure_above(packaged.model, manifest, data))
    return packaged._replace(manifest=msgspec.structs.replace(manifest, reference=found))


def _check_same(manifest: ModelManifest, score: Score, found: Reference, right: NDArray[np.bool_]) -> None:
    """Hold what was measured against what the manifest says.

    Raises:
        UsageError: it says something else.
    """
    before = manifest.reference
    pairs = [
        (score.n, len(right)),
        (score.accuracy, float(right.mean())),
        *((share, found.predictions.get(label, 0.0)) for label, share in before.predictions.items()),
        *zip(before.confidence, found.confidence, strict=False),
    ]
    if not all(math.isclose(said, measured, abs_tol=_SAME) for said, measured in pairs):
        raise UsageError(
            f"{manifest.name} {manifest.release} answers these pictures otherwise than its manifest says "
            f"({float(right.mean()):.2%} right, not {score.accuracy:.2%})",
            remedy="measure it on the split it was packaged with (--split), prepared as it was then",
        )


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.remeasure`."""
    parser = argparse.ArgumentParser(description="Measure a package's reference anew.")
    parser.add_argument("--package", type=Path, required=True, help="such as models/emotion-5.ewm")
    parser.add_argument("--data", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--split", choices=("selection", "test"), default="test", help="what its accuracy is of")
    parser.add_argument("--output", type=Path, required=True, help="the new package")
    given = parser.parse_args(arguments)
    written = remeasure(package.read_file(given.package), load(given.data), given.split)
    write_file(given.output, package.write(written), parents=True)
    sure = written.manifest.reference.sure_above
    print(f"{given.output}: {written.manifest.digest[:12]}, sure above {'nothing' if sure is None else f'{sure:.4f}'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
