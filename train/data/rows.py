"""What every source of pictures is read into: rows of one size, their labels and splits, and what could not be used."""

from dataclasses import dataclass
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from train.data.dataset import SPLITS

# fer2013.csv's own numbering, 0 to 6.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TRAIN, TEST, PRIVATE = (SPLITS.index(name) for name in ("train", "test", "private"))


class PictureFormat(msgspec.Struct, frozen=True):
    """Size in pixels and colour that every picture is brought to."""

    height: int = 48
    width: int = 48
    colour: Literal["grey", "rgb"] = "grey"

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
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


def fitted(picture: NDArray[np.uint8], form: PictureFormat) -> NDArray[np.uint8]:
    """A grey [H,W] or BGR [H,W,3] picture in this size and colour (grey or RGB), uint8 [height,width,channels]."""
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
