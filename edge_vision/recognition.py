"""From picture to answers, once for all roles: decode, find the faces, crop each, run the model.

One picture at a time and one look at each face: what the device does over time, tracks and consensus, is the agent's.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from edge_contract.manifest import FaceCrop, ModelManifest
from edge_vision.classifier import Classifier, Probabilities
from edge_vision.crop import face_crop
from edge_vision.faces import FaceDetector, working_copy
from edge_vision.picture import Box, Pixels, as_gray, central_square, decode


class SearchCopy(NamedTuple):
    """The small grey copy of a picture that faces are searched and followed in, and the way back."""

    pixels: Pixels
    """uint8 [height, width], no side longer than `faces.WORKING_SIDE`."""
    scale: float
    """From its pixels to the picture's; at least 1."""

    def in_picture(self, box: Box) -> Box:
        """A box of the copy, in pixels of the picture."""
        return Box(*(side * self.scale for side in box))


class Answer(NamedTuple):
    """What the model says of one face, and what that cost."""

    probabilities: Probabilities
    """float32 [labels], in the manifest's order."""
    cropping: float
    """Seconds from picture to tensor."""
    invoking: float
    """Seconds from tensor to probabilities."""


def decoded(data: bytes, manifest: ModelManifest) -> Pixels:
    """An encoded picture in the colours that the model takes: grey for a grey model, BGR otherwise.

    Raises:
        UsageError: too large, damaged, or not a picture.
    """
    return decode(data, gray=manifest.input.color == "gray")


def search_copy(picture: Pixels) -> SearchCopy:
    """`picture`: uint8 [height, width] grey or [height, width, 3] BGR."""
    return SearchCopy(*working_copy(as_gray(picture)))


def find(picture: Pixels, detector: FaceDetector, crop: FaceCrop) -> list[Box]:
    """Where a model of this crop is to look, in pixels of the picture: each face, largest first, or the whole frame.

    `picture`: uint8 [height, width] grey or [height, width, 3] BGR. Nothing is searched for a crop around the frame.
    """
    if crop.around == "frame":
        return [central_square(picture)]  # of the picture: a square of the small copy is off by its rounding
    copy = search_copy(picture)
    return [copy.in_picture(face.box) for face in detector.detect(copy.pixels)]


def fill(tensor: Pixels, picture: Pixels, box: Box, manifest: ModelManifest) -> None:
    """Write what the model is to see of the picture at `box` into `tensor`, uint8 [h, w, c] or [1, h, w, c].

    Raises:
        UsageError: the box is no box or far larger than the picture, or the picture none.
    """
    face_crop(picture, box, manifest.input, manifest.crop, tensor)


def answer(classifier: Classifier, picture: Pixels, box: Box, clock: Callable[[], float] = time.perf_counter) -> Answer:
    """Crop the picture at `box` and run the model on it. `clock`: seconds, only growing.

    Raises:
        UsageError: as `fill`.
        ModelFailedError: the model gave no answer.
    """
    began = clock()
    fill(classifier.input, picture, box, classifier.manifest)
    cropped = clock()
    probabilities = classifier.classify(classifier.input)
    return Answer(probabilities, cropped - began, clock() - cropped)
