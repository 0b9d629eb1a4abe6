"""Stored predictions: each model file answers once for the test pictures, one crop and ten, and is read from then on.

An archive is used only while the digests of model and data in it hold, so a network that was trained on is never
mistaken for the one that answered.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ten_crop import KEPT, ten_crops
from edge_contract.manifest import digest_of
from train.data.dataset import Dataset, write_archive
from train.scoring.predict import probabilities_of

SPLIT = "test"  # FER2013's PublicTest

Probabilities = NDArray[np.float32]
Answering = Callable[[NDArray[np.uint8]], Probabilities]
"""From pictures [N,H,W,C] to probabilities [N,classes] in the dataset's order of labels."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Probabilities [N,classes] for the test pictures: from one crop, and the mean over ten."""

    single: Probabilities
    ten: Probabilities


def answers_of_file(model: Path, data: Dataset, store: Path, *, rerun: bool) -> Answers:
    """Answers of a model file, from `store` where they are of this very file and data."""

    def ask(images: NDArray[np.uint8]) -> Probabilities:
        return probabilities_of(model, images, len(data.label_names))

    return stored_or_asked(ask, digest_of(model.read_bytes()), data, store, rerun=rerun)


def stored_or_asked(ask: Answering, model_digest: str, data: Dataset, store: Path, *, rerun: bool) -> Answers:
    """Read `store`, or ask the model and write it."""
    key = {"model": model_digest, "data": data.digest(), "kept": f"{KEPT:.6f}"}
    found = None if rerun else _read(store, key)
    if found is not None:
        return found
    images = data.images[data.split_indices(SPLIT)]
    crops = ten_crops(images)
    # One call for all eleven: a package in another environment starts TensorFlow for each call.
    everything = ask(np.concatenate([images, *crops]))
    everything = everything.reshape(1 + len(crops), len(images), -1)
    answers = Answers(everything[0], everything[1:].mean(axis=0))
    arrays = {"single": answers.single, "ten": answers.ten, **{name: np.array(value) for name, value in key.items()}}
    write_archive(store, arrays)
    return answers


def store_path(folder: Path, name: str, form: str) -> Path:
    """Where a row's predictions are kept."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', f'{name} {form}'.lower()).strip('-')}.npz"


def _read(store: Path, key: dict[str, str]) -> Answers | None:
    if not store.exists():
        return None
    try:
        with np.load(store, allow_pickle=False) as archive:
            if {name: str(archive[name]) for name in key} != key:
                return None
            return Answers(archive["single"], archive["ten"])
    except (OSError, ValueError, KeyError):
        return None  # half a file or an older form: asked again
