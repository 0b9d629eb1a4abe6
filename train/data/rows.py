"""What every source of pictures is read into: rows of one size, their labels and splits, and what could not be used."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.manifest import ImageInput
from edge_vision.crop import whole_crop
from edge_vision.picture import decode
from train.data.dataset import SPLITS

# fer2013.csv's own numbering, 0 to 6.
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TRAIN, SELECTION, TEST, PRIVATE, FIELD = range(len(SPLITS))


class PictureFormat(msgspec.Struct, frozen=True):
    """Size in pixels and colour that every picture is brought to."""

    height: int = 48
    width: int = 48
    colour: Literal["grey", "rgb"] = "grey"

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return 1 if self.colour == "grey" else 3

    @property
    def image(self) -> ImageInput:
        """The same in a manifest's words."""
        return ImageInput(height=self.height, width=self.width, color="gray" if self.colour == "grey" else "rgb")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or row that was left out, or a picture of another size, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a source gave: images uint8 [N,H,W,C], labels, splits (indices into `SPLITS`) and where each came from.

    `resized` are pictures of another size (used), `problems` were left out, `not_read` is what lies beside pictures.
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
    not_read: list[Problem] = field(default_factory=list)


def decoded(content: bytes, form: PictureFormat) -> NDArray[np.uint8]:
    """A picture file as a device would decode it for a model of this colour: grey [H,W] or BGR [H,W,3].

    Raises:
        UsageError: too large, damaged, or not a picture.
    """
    return decode(content, gray=form.colour == "grey")


def fitted(picture: NDArray[np.uint8], form: PictureFormat) -> NDArray[np.uint8]:
    """The central square of a grey [H,W] or BGR [H,W,3] picture in this size and colour, uint8 [height,width,channels].

    Cut and scaled by the code that does so on a device, so that a model is trained on what it will be shown.
    """
    out = np.empty((form.height, form.width, form.channels), np.uint8)
    whole_crop(picture, form.image, out)
    return out
