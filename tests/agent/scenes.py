"""Clips and cameras for the agent's tests: real pictures, real files, a camera that really hangs."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceTraits

Picture = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def moving_face(
    portrait: Picture, frames: int, *, faces: int = 1, size: tuple[int, int] = (640, 480)
) -> Iterator[Picture]:
    """Grey pictures of one to three copies of a face that drift, swell and turn a little, 30 a second."""
    face = portrait[0:300, 90:390]
    for number in range(frames):
        time = number / 30
        scene = np.full((size[1], size[0]), 110, np.uint8)
        for index in range(faces):
            zoom = (1.0 if faces == 1 else 0.7) * (1 + 0.15 * math.sin(time + index))
            turn = cv2.getRotationMatrix2D((150, 150), 6 * math.sin(1.3 * time + index), zoom)
            turn[0, 2] += size[0] * (index + 1) / (faces + 1) - 150 + 40 * math.sin(1.1 * time)
            turn[1, 2] += size[1] / 2 - 150 + 30 * math.cos(1.7 * time + index)
            cv2.warpAffine(face, turn, size, dst=scene, borderMode=cv2.BORDER_TRANSPARENT)
        yield scene


def write_clip(path: Path, pictures: Iterator[Picture], *, fourcc: str = "MJPG", fps: float = 30.0) -> int:
    """Write a video; how many frames it has."""
    writer: cv2.VideoWriter | None = None
    count = 0
    for picture in pictures:
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, size)
        writer.write(picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
        count += 1
    assert writer is not None
    writer.release()
    return count


class PipeCamera:
    """A camera at the end of a real pipe: each byte written into it is a frame, and silence hangs the read for ever."""

    def __init__(self, settings: SourceSettings, pictures: list[Picture]) -> None:
        self.settings = settings
        self.traits = SourceTraits("pipe camera", kind="v4l2", live=True, camera=True)
        self.pictures = pictures
        self.closed = 0
        self.connected = 0
        self.writers: list[int] = []

    def connect(self) -> "PipeStream":
        reader, writer = os.pipe()
        self.writers.append(writer)
        self.connected += 1  # last: tests wait for it
        return PipeStream(self, reader)

    def show(self, frames: int = 1) -> None:
        """Give frames to the newest connection, if anybody reads it still."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.writers[-1], b"x" * frames)

    def release(self, connection: int) -> None:
        """Let a hanging read return: its device is gone."""
        os.close(self.writers[connection])


class PipeStream:
    """One connection to a `PipeCamera`."""

    fps = 30.0

    def __init__(self, camera: PipeCamera, reader: int) -> None:
        self._camera = camera
        self._reader = reader
        self._shown = 0

    def grab(self) -> bool:
        return os.read(self._reader, 1) == b"x"

    def retrieve(self, *, gray: bool) -> Picture:  # noqa: ARG002 - its pictures are grey
        picture = self._camera.pictures[self._shown % len(self._camera.pictures)]
        self._shown += 1
        return picture

    def close(self) -> None:
        os.close(self._reader)
        self._camera.closed += 1
