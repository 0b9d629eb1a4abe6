"""The capture thread: reads a source into the mailbox, and can be abandoned when a read hangs.

A blocked `read()` of a camera driver cannot be interrupted. So every connection has a daemon thread of its own; when
its read is overdue, the thread is abandoned, and the next connection gets a new one. An abandoned thread that returns
closes its stream and ends. What to do when is `reconnect`'s to decide.
"""

import queue
import random
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from edge_agent.camera import reconnect
from edge_agent.camera.mailbox import Frame, Mailbox
from edge_agent.camera.reconnect import Abandon, Arrived, Connect, Ended, Finished, Lost, Open, Tick, Waiting
from edge_agent.camera.source import Source, SourceError, Stream, Timed
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.metrics import ErrorKind
from edge_vision.picture import Pixels, as_picture

_HANGING: Final = 4
"""Abandoned threads at a time, each holding a stack and perhaps a device; with more, a new try waits for one to end."""

_DAMAGED: Final = 100
"""Frames in a row that cannot be decoded before the connection counts as lost: three seconds of a camera."""


class Capture:
    """Keeps frames coming into `mailbox`. Start it, `tend` it often from one thread, stop it."""

    def __init__(
        self,
        source: Source,
        mailbox: Mailbox,
        clock: Callable[[], float],
        chance: random.Random,
        *,
        gray: bool = True,
        on_error: Callable[[ErrorKind, str], None],
        on_reconnect: Callable[[], None],
    ) -> None:
        """`clock`: seconds, only growing. The callbacks run inside `tend`."""
        self.gray = gray
        """Decode to grey; False for a model that takes RGB. Each frame says which it was: one may be on its way."""
        self._source = source
        self._settings = source.settings
        self._mailbox = mailbox
        self._clock = clock
        self._chance = chance
        self._on_error = on_error
        self._on_reconnect = on_reconnect
        self._state: reconnect.State = Waiting(clock())
        self._reader: Reader | None = None
        self._abandoned: list[Reader] = []
        self._sameness = Sameness()

    @property
    def failure(self) -> str:
        """Why a file ended that cannot be read; empty otherwise."""
        return self._state.failure if isinstance(self._state, Ended) else ""

    @property
    def ended(self) -> bool:
        """The file is over and its last frame was left in the mailbox."""
        return isinstance(self._state, Ended)

    @property
    def connected(self) -> bool:
        """Frames are coming."""
        return isinstance(self._state, Open) and self._state.frames > 0

    def tend(self) -> None:
        """Apply the reader's events and the time that passed; never blocks."""
        reader = self._reader
        while reader is not None and reader is self._reader:
            try:
                event = reader.events.get_nowait()
            except queue.Empty:
                break
            if isinstance(event, Damaged):
                self._on_error("frame", event.reason)
            else:
                self._step(event)
        self._step(Tick(self._clock(), self._reader.busy_since if self._reader is not None else None))

    def stop(self, timeout: float = 1.0) -> None:
        """Stop the reader, waiting `timeout` seconds for it to close its device; it does so later if it hangs."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.abandoned.set()
            reader.thread.join(timeout)

    def _step(self, event: reconnect.Event) -> None:
        camera = self._source.traits.camera
        if isinstance(event, Tick) and isinstance(self._state, Waiting) and self._too_many_hang():
            return
        self._state, command = reconnect.step(
            self._state, event, self._settings, camera=camera, jitter=self._chance.random()
        )
        match command:
            case None:
                return
            case Connect():
                self._reader = Reader(self._source, self._mailbox, self._clock, lambda: self.gray, self._sameness)
                self._reader.thread.start()
            case Abandon(reason):
                self._on_error("source", f"{self._source.traits.name}: {reason}")
                if camera:
                    self._on_reconnect()
                if self._reader is not None:  # it is; the type cannot say so
                    self._sameness = self._reader.sameness  # a camera that froze is frozen still when it comes back
                    self._reader.abandoned.set()
                    self._abandoned.append(self._reader)
                    self._reader = None
            case _:
                assert_never(command)

    def _too_many_hang(self) -> bool:
        self._abandoned = [reader for reader in self._abandoned if reader.thread.is_alive()]
        return len(self._abandoned) >= _HANGING


@dataclass(frozen=True, slots=True)
class Damaged:
    """One frame could not be decoded; the connection goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Sameness:
    """Which picture a camera gave last, and since when it gives that one."""

    sample: int = -1
    """Its checksum."""
    since: float = 0.0

    def then(self, sample: int, now: float) -> "Sameness":
        """After a picture of this checksum."""
        return self if sample == self.sample else Sameness(sample, now)


class Reader:
    """One connection and its thread."""

    def __init__(
        self,
        source: Source,
        mailbox: Mailbox,
        clock: Callable[[], float],
        gray: Callable[[], bool],
        sameness: Sameness,
    ) -> None:
        """`gray` is asked before each frame whether to decode it to grey. `sameness`: of the connection before."""
        self.sameness = sameness
        self.events: queue.SimpleQueue[Arrived | Lost | Finished | Damaged] = queue.SimpleQueue()
        self.abandoned = threading.Event()
        self.busy_since: float | None = clock()
        """When the call it is in began; None between calls."""
        self.thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._source = source
        self._mailbox = mailbox
        self._clock = clock
        self._gray = gray

    def _run(self) -> None:
        try:
            stream = self._source.connect()
        except EdgewiseError as error:
            self.events.put(Lost(self._clock(), str(error)))
            return
        try:
            self._read(stream)
        except SourceError as error:
            self.events.put(Lost(self._clock(), str(error)))
        except Exception as error:  # noqa: BLE001 - a driver's surprise must lead to a new connection, not to silence
            self.events.put(Lost(self._clock(), f"unexpected {type(error).__name__}: {error}"))
        finally:
            self.busy_since = None
            stream.close()

    def _read(self, stream: Stream) -> None:
        traits = self._source.traits
        damaged, count, first = 0, 0, True
        timed = stream if isinstance(stream, Timed) else None
        while not self.abandoned.is_set():
            self.busy_since = self._clock()
            if not stream.grab():
                ending = Lost(self._clock(), "it gives no more frames") if traits.camera else Finished()
                self.events.put(ending)
                return
            captured = self._clock()
            count += 1
            gray = self._gray()
            try:
                picture = as_picture(stream.retrieve(gray=gray))  # a careless driver stops here
            except UsageError as error:
                damaged += 1
                self.events.put(Damaged(str(error)))
                if damaged >= _DAMAGED and traits.camera:
                    self.events.put(Lost(self._clock(), f"{damaged} frames in a row cannot be decoded"))
                    return
                continue
            damaged = 0
            now = self._clock()
            self.busy_since = None
            if self.abandoned.is_set():
                return
            place = timed.moment if timed is not None else count / stream.fps
            changed, unchanged = True, None
            if traits.camera:
                before, self.sameness = self.sameness, self.sameness.then(_sample(picture), captured)
                changed, unchanged = first or self.sameness is not before, captured - self.sameness.since
                first = False
            frame = Frame(picture, captured, now - captured, captured if traits.live else place, gray, unchanged)
            if traits.live:
                self._mailbox.put(frame)
            else:
                self._mailbox.hand_over(frame, self.abandoned)
            self.events.put(Arrived(now, changed=changed))


def _sample(picture: Pixels) -> int:
    """A checksum of every 16th pixel of every 16th row: a living sensor's noise changes it with every frame."""
    return zlib.crc32(picture[::16, ::16].tobytes())
