"""The three forms in which people have pictures with labels, read into one: rows, and what could not be used.

`fer2013.csv` (with FER+ votes if given), a tree with one folder a class, and `synthetic:N`. A row or file that cannot
be used becomes a `Problem` that names it; only what makes the whole source meaningless raises. Splitting and counting
are `prepare`'s.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.data.dataset import SPLITS

# fer2013.csv's own numbering, 0 to 6.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TRAIN, TEST, PRIVATE = (SPLITS.index(name) for name in ("train", "test", "private"))


class PictureFormat(msgspec.Struct, frozen=True):
    """What every picture is brought to."""

    height: int = 48
    width: int = 48
    colour: Literal["grey", "rgb"] = "grey"

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.colour == "grey" else 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or row that was left out, or a picture of another size, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a source gave: images uint8 [N,H,W,C], labels, splits (train, test or private) and where each came from.

    `resized` are pictures of another size (used), `problems` were left out.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    split: NDArray[np.uint8]
    label_names: tuple[str, ...]
    places: list[str]
    votes: NDArray[np.uint8]
    vote_names: tuple[str, ...]
    resized: list[Problem]
    problems: list[Problem]
    digest: str


def read_source(source: str, ferplus: str, form: PictureFormat, seed: int) -> Rows:
    """Read `source` in whichever of the three forms it is.

    Raises:
        UsageError: It is none of them, or not one row of it can be used; the text names file and row.
    """
    from train.data import (  # noqa: PLC0415 - they build on this module's types
        class_folders,
        csv_file,
        synthetic,
    )

    if source.startswith("synthetic:"):
        return synthetic.read(source, form, seed)
    path = Path(source)
    if path.is_dir():
        if ferplus:
            raise UsageError(f"{ferplus} goes with fer2013.csv, not with the folder {path}: leave FERPLUS out.")
        return class_folders.read(path, form)
    if path.is_file():
        return csv_file.read(path, Path(ferplus) if ferplus else None, form)
    raise UsageError(f"{source} does not exist: name fer2013.csv, a folder of class folders, or synthetic:2100.")


def fitted(picture: NDArray[np.uint8], form: PictureFormat) -> NDArray[np.uint8]:
    """A grey [H,W] or BGR [H,W,3] picture in the wanted size and colour, [height,width,channels]."""
    if form.colour == "grey" and picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    elif form.colour == "rgb":
        kind = cv2.COLOR_BGR2RGB if picture.ndim == 3 else cv2.COLOR_GRAY2RGB
        picture = np.asarray(cv2.cvtColor(picture, kind), np.uint8)
    if picture.shape[:2] != (form.height, form.width):
        shrinking = picture.shape[0] > form.height
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(picture, (form.width, form.height), interpolation=method), np.uint8)
    return picture.reshape(form.height, form.width, form.channels)


def file_digest(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, one after another: what `cat FILES | sha256sum` says."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
