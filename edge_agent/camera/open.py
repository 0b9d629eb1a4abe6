"""Which kind of source the settings name: the one module that knows all of them.

Each kind is imported where it is chosen: a device with a camera needs neither HTTP nor Picamera2 in memory.
"""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source
from edge_contract.errors import UsageError
from edge_contract.public_url import public_url
from edge_contract.this_user import expanded

_NETWORK: Final = frozenset({"http", "https", "rtsp", "rtsps"})


def open_source(settings: SourceSettings) -> Source:
    """The source that the settings name; nothing is opened yet.

    Raises:
        UsageError: no source can be meant by this name, or a file or folder is not there.
    """
    url = settings.url.strip()
    scheme = public_url(url).partition("://")[0] if "://" in url else ""
    if url.isdecimal() or url.startswith("/dev/"):
        from edge_agent.camera.opencv import V4l2Source  # noqa: PLC0415

        return V4l2Source(Path(f"/dev/video{int(url)}") if url.isdecimal() else Path(url), settings)
    if url == "picamera2":
        from edge_agent.camera.picamera import PicameraSource  # noqa: PLC0415

        return PicameraSource(settings)
    if scheme in _NETWORK and not _readable(url):
        raise UsageError(
            f"the camera's address {public_url(url)} cannot be read",
            remedy="write %2F for / in its user or password, %3F for ?, %23 for #, %40 for @, and a port as a number",
        )
    if scheme in {"http", "https"}:
        from edge_agent.camera.mjpeg import MjpegSource  # noqa: PLC0415

        return MjpegSource(url, settings)
    if scheme in {"rtsp", "rtsps"}:
        from edge_agent.camera.opencv import RtspSource  # noqa: PLC0415

        return RtspSource(url, settings)
    if scheme:
        raise UsageError(
            f"no source is behind {scheme}://", remedy="give http, https or rtsp, a file, a folder or a camera index"
        )
    if not url:
        raise UsageError("the source '' names nothing", remedy="give a camera index, URL, file or folder")
    try:
        path = expanded(Path(url))
    except ValueError as error:
        raise UsageError(
            f"the source {public_url(url)!r} names no file ({error})", remedy="write its whole path"
        ) from error
    from edge_agent.camera.files import ImagesSource, VideoSource  # noqa: PLC0415
    from edge_vision.picture_file import GIF, beginning, is_picture_file  # noqa: PLC0415

    # A GIF alone may move and is a clip; in a folder each is its first picture.
    if path.is_dir() or (is_picture_file(path) and not beginning(path).startswith(GIF)):
        return ImagesSource(path, settings)
    if path.is_file():
        return VideoSource(path, settings)
    raise UsageError(
        f"the source {public_url(url)!r} is no camera index, URL, file or folder that exists here",
        remedy="name one that does; `edgewise-agent cameras` lists the cameras",
    )


def _readable(url: str) -> bool:
    """Whether it can be taken apart: a password with an unescaped `/`, `?` or `#` leaves a port that is none."""
    try:
        return urlsplit(url).port != 0
    except ValueError:  # whose text would repeat a piece of the address
        return False
