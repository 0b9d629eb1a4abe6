"""Where the faces are: YuNet when its file is configured, Haar from OpenCV otherwise.

Both work on a small copy of the picture (a face worth classifying is still large there) and answer with boxes in
pixels of the picture itself, framed alike: a manifest's crop margin was measured against YuNet's box, so Haar's wider
square is fitted to it here.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import cv2
import numpy as np

from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_vision.detector_file import YUNET_SHA256
from edge_vision.picture import Box, Pixels, as_gray

__all__ = ["Box", "Face", "FaceDetector", "HaarDetector", "YuNetDetector", "open_detector", "working_copy"]

WORKING_SIDE: Final = 320
"""Longer side, in pixels, of the copy that is searched: a quarter of the cost of 640, and faces from about 20 pixels
of it (1/16 of the frame's width) are found."""

_DETECTOR_BYTES: Final = 16 * 1024 * 1024  # no detector file is larger; the limit is held before reading
_HAAR_SCORE: Final = 0.5  # finds faces in folds and foliage: worth a second look
_OVERLAP: Final = 0.3  # intersection over union above which two boxes are one face


class Face(NamedTuple):
    """One face found."""

    box: Box
    score: float
    """The detector's confidence, 0 to 1; Haar knows none and says 0.5."""
    roll: float | None = None
    """How far it leans to the side, degrees, -180 to 180: clockwise in the picture is positive. None where the detector
    finds no eyes, as Haar. YuNet puts eyes nearer to level than they are: of FER2013 faces turned by 20 degrees, 121 to
    one side and 124 to the other, it says 15 and -9 on average, of those not turned 2."""


class FaceDetector(Protocol):
    """Finds faces in a picture."""

    name: str
    """What it is, for inventory and doctor."""

    def detect(self, picture: Pixels) -> list[Face]:
        """Faces of a picture, uint8 [height, width] grey or [height, width, 3] BGR, largest first."""


class YuNetDetector:
    """OpenCV's YuNet: finds small, turned and partly covered faces, at 4 ms a frame on one x86 core."""

    name = "yunet"

    def __init__(
        self, path: Path, sha256: str = YUNET_SHA256, *, score: float = 0.6, working_side: int = WORKING_SIDE
    ) -> None:
        """Load the detector's ONNX file after its digest was checked.

        Raises:
            UsageError: the file cannot be read.
            TrustError: it does not have this digest; nothing was loaded.
            EdgewiseError: OpenCV cannot load it.
        """
        try:
            model = read_file(path, _DETECTOR_BYTES)
        except OSError as error:
            raise UsageError(
                f"the face detector {path} cannot be read ({error.strerror})", remedy="run `make face-detector`"
            ) from error
        if digest_of(model) != sha256:
            raise TrustError(
                f"the face detector {path} does not have the digest {sha256[:12]}…: not loaded",
                remedy="run `make face-detector`",
            )
        self._working_side = working_side
        self._size = (working_side, working_side)
        try:
            self._detector = cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(model, np.uint8), np.empty(0, np.uint8), self._size, score, _OVERLAP
            )
        except cv2.error as error:
            raise EdgewiseError(
                f"OpenCV {cv2.__version__} cannot load the face detector {path} ({error})",
                remedy="install the OpenCV of requirements/edge.txt, or configure no face detector",
            ) from error

    def detect(self, picture: Pixels) -> list[Face]:
        """Faces, largest first; see `FaceDetector`."""
        small, scale = working_copy(picture, self._working_side)
        if small.ndim == 2:
            small = np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), np.uint8)
        size = (small.shape[1], small.shape[0])
        if size != self._size:
            self._detector.setInputSize(size)
            self._size = size
        _, found = self._detector.detect(small)
        if found is None:
            return []
        faces = [
            Face(Box(*(float(value) * scale for value in row[:4])), float(min(1.0, max(0.0, row[14]))), _roll(row))
            for row in found
            if _is_plausible(row, size)
        ]
        return _largest_first(faces)


class HaarDetector:
    """The frontal-face cascade inside OpenCV: needs no file, misses turned faces."""

    name = "haar"

    def __init__(self, *, working_side: int = WORKING_SIDE, smallest: float = 0.11) -> None:
        """Load the cascade once. `smallest`: the smallest face's side as a share of the picture's longer side.

        Raises:
            EdgewiseError: this OpenCV has no cascade (5 dropped it).
        """
        self._working_side = working_side
        self._smallest = smallest
        try:
            cascade = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
            self._cascade = cv2.CascadeClassifier(str(cascade))
            loaded = not self._cascade.empty()
        except AttributeError:
            loaded = False
        if not loaded:
            raise EdgewiseError(
                f"OpenCV {cv2.__version__} has no Haar cascade",
                remedy="install opencv-python-headless<5 or name a YuNet file",
            )

    def detect(self, picture: Pixels) -> list[Face]:
        """Faces, largest first; see `FaceDetector`."""
        small, scale = working_copy(as_gray(picture), self._working_side)
        side = round(self._smallest * max(small.shape))
        found = self._cascade.detectMultiScale(small, scaleFactor=1.2, minNeighbors=4, minSize=(side, side))
        return _largest_first([Face(_as_yunet_frames(Box(*map(float, row)), scale), _HAAR_SCORE) for row in found])


def _is_plausible(row: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether a row of YuNet's answer is of a face: in flat pictures it has answered boxes of many billion pixels.

    `size`: width and height of the picture that was searched. A face that is cut off may reach out of it.
    """
    left, top, width, height = (float(value) for value in row[:4])
    middle = (left + width / 2, top + height / 2)
    inside = all(0 <= at <= side for at, side in zip(middle, size, strict=True))
    return inside and all(0 < length <= 2 * max(size) for length in (width, height)) and math.isfinite(row[14])


def _roll(row: Sequence[float]) -> float | None:
    """The angle of the line through the eyes, degrees; columns 4 to 7 are the eye on the picture's left, then right."""
    across, down = float(row[6]) - float(row[4]), float(row[7]) - float(row[5])
    if not math.isfinite(across) or not math.isfinite(down) or across == down == 0:
        return None
    return math.degrees(math.atan2(down, across))


def open_detector(path: Path | None, sha256: str = YUNET_SHA256) -> FaceDetector:
    """YuNet when a file is configured, Haar otherwise.

    Raises:
        EdgewiseError: as the two constructors.
    """
    return HaarDetector() if path is None else YuNetDetector(path, sha256)


def working_copy(picture: Pixels, longer_side: int = WORKING_SIDE) -> tuple[Pixels, float]:
    """The picture no larger than `longer_side`, and the factor from its pixels back to the picture's."""
    height, width = picture.shape[:2]
    scale = max(height, width) / longer_side
    if scale <= 1:
        return picture, 1.0
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _as_yunet_frames(haar: Box, scale: float) -> Box:
    """A Haar square as wide as YuNet's box of the same face is long, in pixels of the picture.

    Measured on 818 images of FER2013's Training split that both find: the median ratio is 1.08 and the centres differ
    by less than one hundredth of the side.
    """
    side = 1.08 * haar.width
    left, top = haar.left + (haar.width - side) / 2, haar.top + (haar.height - side) / 2
    return Box(left * scale, top * scale, side * scale, side * scale)


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)
