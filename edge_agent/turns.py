"""What lives beside the pipeline, link and updates, written as turns: a generator that says what it waits for.

A device gives each a thread of its own (`ThreadWorker`), which may block. The rehearsal of a fleet drives hundreds of
devices on one thread (`edge_simulator`), so what is written in turns waits by yielding and by nothing else.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Next(NamedTuple):
    """Wait for what is put in next; the answer is that, or None when none came in `seconds`, or it is the end."""

    seconds: float | None


class Pause(NamedTuple):
    """Take nothing for `seconds`, or until the end."""

    seconds: float


class Call(NamedTuple):
    """Have this called where it may block; the answer is what it returned."""

    function: Callable[[], object]


Turns = Generator[Next | Pause | Call, Any, None]


class Worker(Protocol[T]):
    """Drives turns, and holds what was put in until they take it."""

    @property
    def closed(self) -> bool:
        """The end was asked for: turns return soon, and nothing more is put in."""

    @property
    def alive(self) -> bool:
        """The turns were begun and have not returned."""

    @property
    def empty(self) -> bool:
        """Nothing waits to be taken."""

    def start(self, turns: Callable[[], Turns]) -> None:
        """Begin with them."""

    def put(self, item: T) -> None:
        """Append, from any thread; may wait while too much waits already."""

    def left(self) -> Iterator[T]:
        """Take, without waiting, all that is still there; for the turns themselves."""

    def aside(self, function: Callable[[], None]) -> None:
        """Have this called while the turns go on."""

    def close(self) -> None:
        """Ask for the end, and wake the turns."""

    def join(self, seconds: float) -> None:
        """Wait at most so long until the turns have returned; not at all within them."""


class MakeWorker(Protocol):
    """Makes a worker."""

    def __call__(self, name: str, longest: int) -> Worker[Any]:
        """`name`: for people; `longest`: how many items may wait."""


class ThreadWorker(Generic[T]):
    """A worker with a thread of its own."""

    def __init__(self, name: str, longest: int) -> None:
        self._items: queue.Queue[T | None] = queue.Queue(longest)
        self._closed = threading.Event()
        self._name = name
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        """As `Worker.closed`."""
        return self._closed.is_set()

    @property
    def alive(self) -> bool:
        """As `Worker.alive`."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def empty(self) -> bool:
        """As `Worker.empty`."""
        return self._items.empty()

    def start(self, turns: Callable[[], Turns]) -> None:
        """As `Worker.start`."""
        self._thread = threading.Thread(target=self._run, args=(turns,), name=self._name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """As `Worker.put`."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=0.2)
                return

    def left(self) -> Iterator[T]:
        """As `Worker.left`."""
        with suppress(queue.Empty):
            while True:
                item = self._items.get_nowait()
                if item is not None:
                    yield item

    def aside(self, function: Callable[[], None]) -> None:
        """As `Worker.aside`."""
        threading.Thread(target=function, name=f"{self._name}-aside", daemon=True).start()

    def close(self) -> None:
        """As `Worker.close`."""
        self._closed.set()
        with suppress(queue.Full):
            self._items.put_nowait(None)

    def join(self, seconds: float) -> None:
        """As `Worker.join`."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _run(self, turns: Callable[[], Turns]) -> None:
        generator: Turns = turns()
        answer: object = None
        with suppress(StopIteration):
            while True:
                match generator.send(answer):
                    case Next(seconds):
                        answer = self._next(seconds)
                    case Pause(seconds):
                        self._closed.wait(seconds)
                        answer = None
                    case Call(function):
                        answer = function()

    def _next(self, seconds: float | None) -> T | None:
        with suppress(queue.Empty):
            return self._items.get(timeout=seconds)
        return None
