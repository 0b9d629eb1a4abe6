"""Cameras that OpenCV opens: V4L2 devices and RTSP streams, and a list of what is plugged in.

A V4L2 camera is asked for its raw frames, because its grey plane is then free: YUYV carries it as every other byte,
and Motion JPEG decodes to it alone. CSI cameras give raw Bayer here: they need `picamera2`.
"""

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from edge_contract.public_url import public_url
from edge_vision.picture import Pixels, as_gray, as_picture, decode

_YUYV: Final = cv2.VideoWriter.fourcc(*"YUYV")
_MJPG: Final = cv2.VideoWriter.fourcc(*"MJPG")
_UNCOMPRESSED_PIXELS: Final = 640 * 480
"""Up to this size USB 2 carries uncompressed YUYV at 30 frames a second (18 MB/s); above, Motion JPEG."""

_VIDIOC_QUERYCAP: Final = 0x80685600  # _IOR('V', 0, struct v4l2_capability), the same on every Linux
_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, capabilities, device_caps
_CAN_CAPTURE: Final = 0x00000001 | 0x00001000  # single- or multi-planar video capture


class CameraDevice(NamedTuple):
    """A camera that this machine has."""

    url: str
    """What `source.url` would be."""
    name: str


class V4l2Source:
    """A camera behind /dev/video*."""

    def __init__(self, device: Path, settings: SourceSettings) -> None:
        self._device = device
        self.settings = settings
        self.traits = SourceTraits(str(device), kind="v4l2", live=True, camera=True, fps=settings.fps)

    def connect(self) -> "CameraStream":
        """Open the device with the format whose grey plane is cheapest.

        Raises:
            SourceError: it is absent, not permitted, busy, or no camera.
        """
        if not self._device.exists():
            raise SourceError(
                f"{self._device} is not there", remedy="plug the camera in, or see `edgewise-agent cameras`"
            )
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise SourceError(f"{self._device} may not be opened", remedy="add the agent's user to the group `video`")
        capture = cv2.VideoCapture(str(self._device), cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                f"{self._device} cannot be opened: another program has it, or it is no capture device",
                remedy="end that program, or see `edgewise-agent cameras`",
            )
        settings = self.settings
        uncompressed = settings.width * settings.height <= _UNCOMPRESSED_PIXELS
        capture.set(cv2.CAP_PROP_FOURCC, _YUYV if uncompressed else _MJPG)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        capture.set(cv2.CAP_PROP_FPS, settings.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame in the driver's queue is latency that no stage counts
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC))
        raw = fourcc in {_YUYV, _MJPG} and bool(capture.set(cv2.CAP_PROP_CONVERT_RGB, 0))
        return CameraStream(capture, str(self._device), fourcc if raw else None, settings.fps)


class RtspSource:
    """A network camera that speaks RTSP, read by the FFmpeg inside OpenCV."""

    def __init__(self, url: str, settings: SourceSettings) -> None:
        self._url = url
        self.settings = settings
        self.traits = SourceTraits(public_url(url), kind="rtsp", live=True, camera=True, fps=settings.fps)

    def connect(self) -> "CameraStream":
        """Open the stream.

        Raises:
            SourceError: no answer in time, or one without video.
        """
        settings = self.settings
        capture = cv2.VideoCapture(
            self._url,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                int(settings.open_timeout * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                int(settings.read_timeout * 1000),
            ],
        )
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                f"{self.traits.name} gives no video", remedy="check address, password and that the camera is on"
            )
        return CameraStream(capture, self.traits.name, None, settings.fps)


class CameraStream:
    """An open camera."""

    def __init__(self, capture: cv2.VideoCapture, name: str, fourcc: int | None, fps: float) -> None:
        """`fourcc`: the raw format that frames arrive in; None where OpenCV converts them to BGR."""
        self.fps = fps
        self._capture = capture
        self._name = name
        self._fourcc = fourcc

    def grab(self) -> bool:
        """Wait for the next frame; False when the camera gives no more."""
        return bool(self._capture.grab())

    def retrieve(self, *, gray: bool) -> Pixels:
        """The frame's pixels.

        Raises:
            UsageError: this frame is damaged.
        """
        ok, array = self._capture.retrieve()
        if not ok or array is None:
            raise UsageError(f"a frame of {self._name} cannot be decoded.")
        return picture_of_raw(array, self._fourcc, gray=gray)

    def close(self) -> None:
        """Close the device."""
        self._capture.release()


def picture_of_raw(array: NDArray[Any], fourcc: int | None, *, gray: bool) -> Pixels:
    """A camera's raw frame as a picture.

    YUYV comes as uint8 [height, width, 2], Motion JPEG as the bytes of one JPEG in any shape, anything else as BGR.

    Raises:
        UsageError: damaged, or of no usable form.
    """
    if fourcc == _YUYV and array.ndim == 3 and array.shape[2] == 2 and array.dtype == np.uint8 and array.size:
        if gray:
            return np.ascontiguousarray(array[:, :, 0])
        return as_picture(cv2.cvtColor(array, cv2.COLOR_YUV2BGR_YUY2))
    if fourcc == _MJPG and array.dtype == np.uint8 and (array.ndim == 1 or min(array.shape) == 1):
        return decode(array.tobytes(), gray=gray)
    picture = as_picture(array)
    return as_gray(picture) if gray else picture


def list_cameras(devices: Path = Path("/dev"), capability: Callable[[Path], bytes] | None = None) -> list[CameraDevice]:
    """The cameras this machine shows: V4L2 capture devices, and `picamera2` where a CSI camera is likely.

    `capability` reads a device's 104-byte `v4l2_capability`; by default the kernel is asked.
    """
    ask = capability or _query_capability
    found: list[CameraDevice] = []
    for device in sorted(devices.glob("video[0-9]*"), key=lambda path: int(path.name.removeprefix("video"))):
        try:
            driver, card, _, _, capabilities, device_capabilities = _CAPABILITY.unpack(ask(device))
        except (OSError, struct.error):
            found.append(CameraDevice(str(device), "cannot be asked: permission, or gone"))
            continue
        # Bit 31: device_caps is filled in and speaks of this node alone, not of the whole device.
        if not (device_capabilities if capabilities & 0x80000000 else capabilities) & _CAN_CAPTURE:
            continue  # metadata nodes and codecs
        name = card.split(b"\0")[0].decode(errors="replace")
        if driver.split(b"\0")[0] in {b"unicam", b"rp1-cfe"}:
            found.append(CameraDevice("picamera2", f"CSI camera behind {device} ({name})"))
        else:
            found.append(CameraDevice(str(device), name))
    return list(dict.fromkeys(found))


def _query_capability(device: Path) -> bytes:
    answer = bytearray(_CAPABILITY.size)
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, answer)
    finally:
        os.close(descriptor)
    return bytes(answer)
