"""Video files and folders of images: in real time, as fast as possible, or looped."""

import time
from collections.abc import Callable
from pathlib import Path

import cv2

from edge_agent.camera.moments import Moments
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from edge_vision.picture import (
    LARGEST_BYTES,
    WHOLE_PIXELS,
    Pixels,
    as_gray,
    as_picture,
    decode,
    refuse_too_large,
)
from edge_vision.picture_file import SUFFIXES, is_picture_file


class Pace:
    """Makes a file as slow as a camera; frames that are late are not skipped here but dropped in the mailbox."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / fps
        self._clock = clock
        self._due = clock()

    def wait(self, gap: float | None = None) -> None:
        """Sleep until the next frame is due, `gap` seconds after the one before, or as the rate says."""
        self._due += self._interval if gap is None else gap
        ahead = self._due - self._clock()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -1.0:  # the process was stopped for a while: go on from now instead of racing
            self._due = self._clock()


class VideoSource:
    """A video file that OpenCV's FFmpeg reads; an animated GIF too."""

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        self._path = path
        self.settings = settings
        self.traits = SourceTraits(
            path.name, kind="file", live=settings.pace == "real-time", camera=False, fps=settings.fps
        )

    def connect(self) -> "VideoStream":
        """Open the file.

        Raises:
            SourceError: it is no video.
        """
        return VideoStream(self._path, self.settings)


class VideoStream:
    """An open video file."""

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        self._path = path
        self._loop = settings.loop
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(f"{path} is no video that OpenCV can read", remedy="convert it to MP4 or AVI")
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            refuse_too_large(width, height, WHOLE_PIXELS)
        except UsageError as error:
            self._capture.release()
            raise SourceError(f"{path}: {error.problem}", remedy=error.remedy) from error
        # Motion JPEG can be decoded to its grey plane alone, a third of the work: take its packets as they are.
        self._packets = self._capture.get(cv2.CAP_PROP_FOURCC) == cv2.VideoWriter.fourcc(*"MJPG") and bool(
            self._capture.set(cv2.CAP_PROP_FORMAT, -1)
        )
        stated = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = stated if 0 < stated <= 1000 else settings.fps
        self._pace = Pace(self.fps) if settings.pace == "real-time" else None
        self._longest_wait = settings.read_timeout / 2
        self._any = False
        self._moments = Moments(1.0 / self.fps)
        self.moment = 0.0
        """Where the frame just grabbed lies in the clip, seconds; it grows on when the clip is looped."""

    def grab(self) -> bool:
        """Wait until the next frame is due; False at the end.

        Raises:
            SourceError: a looped file has no readable frame at all.
        """
        if not self._next():
            return False
        before, self.moment = self.moment, self._moments.next(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        if self._pace is not None:  # a wait as long as the deadline of a read would look like a file that hangs
            self._pace.wait(min(self.moment - before, self._longest_wait))
        return True

    def _next(self) -> bool:
        if self._capture.grab():
            self._any = True
            return True
        if not self._any:
            raise SourceError(f"{self._path} holds no frame that can be read.")
        if not self._loop:
            return False
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        return bool(self._capture.grab())

    def retrieve(self, *, gray: bool) -> Pixels:
        """The frame's pixels.

        Raises:
            UsageError: this frame is damaged.
        """
        ok, array = self._capture.retrieve()
        if not ok or array is None:
            raise UsageError(f"a frame of {self._path.name} cannot be decoded.")
        if self._packets:
            return decode(array.tobytes(), gray=gray)
        picture = as_picture(array)
        return as_gray(picture) if gray else picture

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class ImagesSource:
    """One image, or those of a folder in the order of their names; each is a scene of its own."""

    def __init__(self, path: Path, settings: SourceSettings) -> None:
        """List the images: what is a picture by its name or first bytes, hidden files excepted.

        Raises:
            UsageError: the folder cannot be opened or holds no image.
        """
        self.settings = settings
        try:
            files = [file for file in path.iterdir() if file.name[0] != "."] if path.is_dir() else [path]
        except OSError as error:
            raise UsageError(f"the folder {path} cannot be read ({error.strerror}).") from error
        self.images = sorted(filter(is_picture_file, files))
        if not self.images:
            raise UsageError(
                f"the folder {path} holds no image", remedy=f"put one there ({', '.join(sorted(SUFFIXES))})"
            )
        self.traits = SourceTraits(
            path.name, kind="file", live=settings.pace == "real-time", camera=False, continuous=False, fps=settings.fps
        )

    def connect(self) -> "ImagesStream":
        """Begin with the first image."""
        return ImagesStream(self.images, self.settings)


class ImagesStream:
    """A walk through images."""

    def __init__(self, images: list[Path], settings: SourceSettings) -> None:
        self._images = images
        self._loop = settings.loop
        self._next = 0
        self.fps = settings.fps
        self._pace = Pace(self.fps) if settings.pace == "real-time" else None

    def grab(self) -> bool:
        """Wait until the next image is due; False after the last."""
        if self._next >= len(self._images):
            if not self._loop:
                return False
            self._next = 0
        if self._pace is not None:
            self._pace.wait()
        self._next += 1
        return True

    def retrieve(self, *, gray: bool) -> Pixels:
        """The image's pixels.

        Raises:
            UsageError: it cannot be read or is no image; the text names it.
        """
        return read_image(self._images[self._next - 1], gray=gray)

    def close(self) -> None:
        """Nothing is held open."""


def read_image(path: Path, *, gray: bool) -> Pixels:
    """One image file's pixels.

    Raises:
        UsageError: it cannot be read, is too large or no image; the text names it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return decode(data, gray=gray)
    except UsageError as error:
        raise UsageError(f"{path}: {error.problem}", remedy=error.remedy) from error
