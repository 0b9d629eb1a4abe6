"""Stored views of the training pictures with a teacher's answer for each: what a student learns from.

Answers for the very view that the student is given teach better than one answer a picture (Beyer et al.
2022), and storing a dozen views costs a few minutes once instead of a teacher's pass in every step.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.data.dataset import Dataset, read_archive, write_archive


@dataclass(frozen=True, slots=True)
class Views:
    """Pictures uint8 [V,N,H,W,C] of the dataset's N training rows and the teacher's probabilities [V,N,classes].

    `features` [V,N,F] are the teachers' last features, of unit variance; F may be 0.

    A picture may be made of two: `shares` [V,N] of it is the row's own, the rest is row `partners`' [V,N].
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float16]
    features: NDArray[np.float16]
    partners: NDArray[np.int32]
    shares: NDArray[np.float32]


def save_views(path: Path, views: Views, data: Dataset) -> None:
    """Write views together with the digest of the data they were made from."""
    write_archive(
        path,
        {
            **{field.name: getattr(views, field.name) for field in dataclasses.fields(Views)},
            "source_digest": np.array(data.source_digest),
            "label_names": np.array(data.label_names, dtype=np.str_),
        },
    )


def load_views(path: Path, data: Dataset, rows: NDArray[np.intp]) -> Views:
    """Read views for the dataset's training `rows`.

    Raises:
        UsageError: The file is missing, is no file of views, or was made from other data.
    """
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", remedy="write a teacher's answers with `python -m train.distill` first"
        )
    try:
        archive = read_archive(path)
        made_from = str(archive["source_digest"]), tuple(archive["label_names"])
        views = Views(*(archive[field.name] for field in dataclasses.fields(Views)))
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise UsageError(
            f"{path} is not a file of views ({error})", remedy="run `python -m train.distill` again"
        ) from error
    if made_from != (data.source_digest, data.label_names):
        raise UsageError(
            f"{path} was made from other data than this dataset", remedy="run `python -m train.distill` again"
        )
    if views.images.shape[1] != len(rows):
        raise UsageError(
            f"{path} holds {views.images.shape[1]} rows, the dataset trains on {len(rows)}", remedy="write it again"
        )
    return views
