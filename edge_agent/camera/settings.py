"""`[source]`: which camera, and how long the agent waits for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from edge_contract.setting_types import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One source of frames; durations are seconds."""

    url: Text = "0"
    """A V4L2 index or path (`0`, `/dev/video2`), `picamera2`, `http(s)://` of an MJPEG stream, `rtsp://`, a video file,
    an image or a folder of images."""
    width: Annotated[int, Meta(ge=16, le=16384)] = 640
    """Asked of a camera, pixels; it may give another size."""
    height: Annotated[int, Meta(ge=16, le=16384)] = 480
    fps: Annotated[float, Meta(gt=0, le=1000)] = 30.0
    """Asked of a camera; the pace of a folder of images and of a file that names none."""
    pace: Literal["real-time", "fast"] = "real-time"
    """Files and folders: as a camera would give them, or each frame as soon as the last one is done."""
    loop: bool = False
    """Files and folders: begin again at the end."""
    read_timeout: Annotated[float, Meta(gt=0, le=600)] = 5.0
    """After which a read that has not returned is abandoned."""
    open_timeout: Annotated[float, Meta(gt=0, le=600)] = 15.0
    """The same for opening: cameras and RTSP servers take long."""
    ca: Path | None = None
    """Certificates that vouch for an `https://` camera; the system's own when absent."""
    frozen_after: Annotated[float, Meta(ge=0, le=86400)] = 10.0
    """Time of bit-identical pictures from a camera after which it counts as lost; 0: never."""
    first_wait: Annotated[float, Meta(gt=0, le=3600)] = 0.5
    """Before the first new connection; doubled for each further one."""
    longest_wait: Annotated[float, Meta(gt=0, le=86400)] = 60.0
