"""Answers of the shipped model to test pictures as they are and as a camera spoils them, and those pictures' quality.

The corruptions are those of `train.scoring.corruptions`, and what a camera can do besides: turn, stand far off, be
dazzled, or have something before its lens. Without a dataset the project's own drawn faces take the place of people.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_contract import package
from edge_contract.manifest import Reference
from edge_contract.messages import CONFIDENCE_BOUNDS
from edge_vision.classifier import Classifier
from train.data import synthetic
from train.data.dataset import load
from train.data.rows import PictureFormat
from train.scoring.corruptions import corrupted

Images = NDArray[np.uint8]
SEED: Final = 2019
SIDE: Final = 48
BUCKETS: Final = len(CONFIDENCE_BOUNDS) + 1
DRAWN: Final = 700


class Faces(NamedTuple):
    """Pictures with labels of one split."""

    images: Images
    labels: NDArray[np.int64]


class Answers(NamedTuple):
    """What the model answered to pictures, in their order, and how the pictures were."""

    label: NDArray[np.int64]
    bucket: NDArray[np.int64]
    """Of `CONFIDENCE_BOUNDS`."""
    confidence: NDArray[np.float64]
    quality: NDArray[np.float64]
    """[N, 3] brightness, contrast, sharpness, as a device measures them of a face."""


def faces(dataset: Path) -> tuple[dict[str, Faces], str]:
    """Selection and test pictures, and what they are; drawn ones where there is no dataset."""
    if dataset.exists():
        data = load(dataset)
        rows = {name: data.split_indices(name) for name in ("selection", "test")}
        return {name: Faces(data.images[at], data.labels[at].astype(np.int64)) for name, at in rows.items()}, "dataset"
    form = PictureFormat(height=SIDE, width=SIDE, colour="grey")
    drawn = synthetic.read(f"synthetic:{2 * DRAWN}", form, SEED)
    whole = Faces(drawn.images, drawn.labels.astype(np.int64))
    return {
        "selection": Faces(whole.images[::2], whole.labels[::2]),
        "test": Faces(whole.images[1::2], whole.labels[1::2]),
    }, "drawn"


def turned(images: Images, degrees: float) -> Images:
    """A camera that hangs askew."""
    centre = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, degrees, 1.0)
    return _each(images, lambda one: cv2.warpAffine(one, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))


def small(images: Images, side: float) -> Images:
    """A face of so many pixels a side, enlarged for the model."""
    size = (int(side), int(side))

    def one(picture: Images) -> Images:
        shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        enlarged: Images = np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
        return enlarged

    return _each(images, one)


def dazzled(images: Images, gain: float) -> Images:
    """Light behind the face or a long exposure: brighter by that factor, and cut off at white."""
    brighter: Images = np.clip(images * gain + 40.0, 0, 255).astype(np.uint8)
    return brighter


def veiled(images: Images, share: float) -> Images:
    """Something milky before the lens: that share of its light is left, over grey."""
    return _each(
        np.clip(images * share + 128.0 * (1 - share), 0, 255).astype(np.uint8),
        lambda one: cv2.GaussianBlur(one, (0, 0), 1.2),
    )


_OTHERS: Final[dict[str, Callable[[Images, float], Images]]] = {
    "turned": turned, "small": small, "dazzled": dazzled, "veiled": veiled
}  # fmt: skip


def spoiled(images: Images, kind: str, strength: float) -> Images:
    """Pictures [N,48,48,1] changed; `clean` leaves them."""
    if kind == "clean":
        return images
    return _OTHERS[kind](images, strength) if kind in _OTHERS else corrupted(images, kind, strength, SEED)


class Model:
    """The shipped package in the real interpreter."""

    def __init__(self, path: Path) -> None:
        content = package.read_file(path)
        self.manifest = content.manifest
        self._classifier = Classifier(content.model, content.manifest)

    def answers(self, images: Images) -> Answers:
        """One answer a picture."""
        probabilities = np.stack([self._classifier.classify(one[None]) for one in images])
        confidence = probabilities.max(axis=1).astype(np.float64)
        bucket = np.searchsorted(CONFIDENCE_BOUNDS, confidence, side="left")
        return Answers(probabilities.argmax(axis=1), bucket, confidence, quality(images))


def quality(images: Images) -> NDArray[np.float64]:
    """[N, 3] brightness, contrast and sharpness (mean absolute Laplacian over contrast) of faces, 0 to 1 grey."""
    grey = images[..., 0] / 255.0
    contrast = grey.std(axis=(1, 2))
    detail = np.array([np.abs(cv2.Laplacian(one, cv2.CV_64F)).mean() for one in grey])
    return np.stack([grey.mean(axis=(1, 2)), contrast, detail / np.maximum(contrast, 0.02)], axis=1)


def reference_of(answers: Answers, truth: NDArray[np.int64], labels: tuple[str, ...]) -> Reference:
    """What a manifest says of how a model answers, from pictures whose labels are known."""
    right = answers.label == truth
    confidence = np.sort(answers.confidence)[::-1]
    tables = [
        {
            name: tuple(np.bincount(answers.bucket[rows & (answers.label == at)], minlength=BUCKETS).tolist())
            for at, name in enumerate(labels)
        }
        for rows in (np.ones(len(truth), bool), right)
    ]
    above = float(confidence[max(0, int(right.sum()) - 1)])
    return Reference(by_label=tables[0], right=tables[1], sure_above=above)


def _each(images: Images, change: Callable[[Images], object]) -> Images:
    return np.stack([np.asarray(change(one[..., 0]), np.uint8)[..., None] for one in images])
