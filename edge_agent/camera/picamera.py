"""The Raspberry Pi's CSI camera through Picamera2. Written to its documentation and untested on hardware.

Picamera2 comes with Raspberry Pi OS (`apt install python3-picamera2`), not from PyPI: a virtual environment sees it
when made with `--system-site-packages`.
"""

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from edge_vision.picture import Pixels, as_picture


class PicameraSource:
    """The first CSI camera."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self.traits = SourceTraits("picamera2", kind="picamera", live=True, camera=True, fps=settings.fps)

    def connect(self) -> "PicameraStream":
        """Start the camera in YUV420, whose first plane is the grey picture.

        Raises:
            SourceError: Picamera2 is not installed, or there is no camera.
        """
        if find_spec("picamera2") is None:
            raise SourceError(
                "picamera2 is not installed here",
                remedy="run `sudo apt install python3-picamera2`, and make the virtual environment with "
                "--system-site-packages",
            )
        from picamera2 import Picamera2  # noqa: PLC0415 - only on Raspberry Pi OS

        settings = self.settings
        try:
            camera = Picamera2()
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (settings.width, settings.height), "format": "YUV420"},
                    controls={"FrameRate": settings.fps},
                    buffer_count=2,
                )
            )
            camera.start()
        except (RuntimeError, IndexError, ValueError) as error:
            raise SourceError(
                f"the CSI camera does not start ({error})", remedy="check its cable and `rpicam-hello`"
            ) from error
        return PicameraStream(camera, settings)


class PicameraStream:
    """A started CSI camera."""

    def __init__(self, camera: Any, settings: SourceSettings) -> None:
        self.fps = settings.fps
        self._camera = camera
        self._width, self._height = settings.width, settings.height
        self._planes: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def grab(self) -> bool:
        """Wait for the next frame.

        Raises:
            SourceError: the camera failed.
        """
        try:
            self._planes = self._camera.capture_array("main")
        except RuntimeError as error:
            raise SourceError(f"the CSI camera failed ({error}).") from error
        return True

    def retrieve(self, *, gray: bool) -> Pixels:
        """The grey plane, or all planes converted; the camera pads rows, so they are cut to the width asked for.

        Raises:
            UsageError: nothing was grabbed, or the planes have no usable form.
        """
        planes = self._planes
        if planes is None or planes.ndim != 2 or planes.shape[0] < self._height * 3 // 2:
            raise UsageError("a frame of the CSI camera is not YUV420 of the size asked for.")
        if gray:
            return np.ascontiguousarray(planes[: self._height, : self._width])
        return as_picture(cv2.cvtColor(planes, cv2.COLOR_YUV420p2BGR))[:, : self._width]

    def close(self) -> None:
        """Stop the camera."""
        self._camera.stop()
        self._camera.close()
