"""Where frames come from: one name in the settings, one `Source` each, and what a source promises.

A `Source` is a description that can be connected again and again; a `Stream` is one connection. `grab` may block and
may hang for ever (cameras do): only the capture thread calls it, and that thread can be abandoned. Each kind stands in
a module of its own (`opencv`, `files`, `mjpeg`, `picamera`, `drawn`); `open` chooses.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from edge_agent.camera.settings import SourceSettings
from edge_contract.errors import EdgewiseError
from edge_vision.picture import Pixels


class SourceError(EdgewiseError):
    """A source cannot be opened or was lost; another try may succeed."""


class Stream(Protocol):
    """One open connection to a source."""

    fps: float
    """Frames per second that it says it has, or that were asked for."""

    def grab(self) -> bool:
        """Wait for the next frame; False at the end of a file or folder.

        Raises:
            SourceError: the connection is lost.
        """

    def retrieve(self, *, gray: bool) -> Pixels:
        """The frame just grabbed: grey [height, width] when `gray`, else BGR [height, width, 3].

        Raises:
            UsageError: this one frame is damaged or of no usable form; the next may be good.
            SourceError: the connection is lost.
        """

    def close(self) -> None:
        """Free the device or connection."""


@runtime_checkable
class Timed(Protocol):
    """A stream that knows where in its clip a frame lies; others give frames at their rate."""

    moment: float
    """Seconds from the clip's first frame to the one just grabbed; it never goes back."""


CameraKind = Literal["v4l2", "picamera", "mjpeg", "rtsp", "file", "drawn"]
"""How pictures come; as `messages.Info.camera_kind` has it."""


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """What kind of frames a source gives."""

    name: str
    """For people and for the wire: an address as `public_url` gives it, never with a secret in it."""
    kind: CameraKind
    live: bool
    """Frames come whether or not they are taken: the newest wins. Otherwise each is handed over."""
    camera: bool
    """An end or bit-identical pictures mean that it was lost; a file just ends."""
    continuous: bool = True
    """One frame follows from the last; False for a folder of unrelated images."""
    fps: float = 30.0
    """Nominal frames per second."""


class Source(Protocol):
    """A place frames come from."""

    @property
    def traits(self) -> SourceTraits:
        """Known without connecting."""

    @property
    def settings(self) -> SourceSettings:
        """Deadlines and waits for this source."""

    def connect(self) -> Stream:
        """Open it.

        Raises:
            SourceError: it is not there, busy, or not what it should be; the text names the remedy.
        """
