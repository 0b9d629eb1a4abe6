"""Stored views of the training pictures with a teacher's answer for each: what a student learns from.

A teacher that answers for the very view that the student sees teaches better than one answer a picture (Beyer et al.
2022), and storing a dozen views costs a few minutes once instead of a teacher's pass in every step.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.dataset import Dataset, write_archive


@dataclass(frozen=True, slots=True)
class Views:
    """Pictures uint8 [V,N,H,W,C] of the dataset's training rows and the teacher's probabilities [V,N,classes]."""

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float16]


def save_views(path: Path, views: Views, data: Dataset) -> None:
    """Write views together with the digest of the data they were made from."""
    write_archive(
        path,
        {
            "images": views.images,
            "probabilities": views.probabilities,
            "source_digest": np.array(data.source_digest),
            "label_names": np.array(data.label_names, dtype=np.str_),
        },
    )


def load_views(path: Path, data: Dataset, rows: NDArray[np.intp]) -> Views:
    """Read views for the dataset's training `rows`.

    Raises:
        UsageError: There are none, or they were made from other data.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist: write a teacher's answers with `python -m train.distill` first.")
    with np.load(path, allow_pickle=False) as archive:
        if str(archive["source_digest"]) != data.source_digest or tuple(archive["label_names"]) != data.label_names:
            raise UsageError(f"{path} was made from other data than this dataset: run `python -m train.distill` again.")
        views = Views(archive["images"], archive["probabilities"])
    if views.images.shape[1] != len(rows):
        raise UsageError(
            f"{path} holds {views.images.shape[1]} rows, the dataset trains on {len(rows)}: write it again."
        )
    return views
