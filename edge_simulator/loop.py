"""One thread for all devices of a process: their connections, what happens when, and whatever they do in turns.

Hundreds of devices with threads of their own only wait for one another's turn. Here each has a `LoopWorker` in the
place of its threads. What one device raises is logged and ends nothing of another.
"""

import heapq
import itertools
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Generic, TypeVar

from edge_agent.turns import Call, Next, Turns

T = TypeVar("T")
Ready = Callable[[int], None]
"""Gets the events of a descriptor."""

_CALLS_AT_ONCE: Final = 16
_MOMENT_S: Final = 0.01
_log = logging.getLogger(__name__)


class Loop:
    """Calls what was asked for when its time has come or its descriptor is ready, one after the other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._selector = selectors.EpollSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._soon: deque[Callable[[], None]] = deque()
        self._idle: deque[Callable[[], None]] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()  # keeps the order of equal times, and functions from being compared
        self._lock = threading.Lock()  # of what is later, and of the descriptor that wakes the loop
        self._ended = self._closed = False
        self._time = 0.0
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)

    @property
    def here(self) -> bool:
        """Whether this is the loop's thread."""
        return threading.current_thread() is self._thread

    def time(self) -> float:
        """Seconds by which devices measure how long nothing came: of waiting all, and of each round of work a moment.

        A device of its own would not wait while others work, nor while this process gets no processor: it would not
        take a message that lies here unread for one that was lost.
        """
        return self._time

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Call nothing any more, and let go of every descriptor."""
        self._ended = True
        self._rouse()
        if self._thread.is_alive():
            self._thread.join(10)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            self._selector.close()
            os.close(self._wake)

    def soon(self, action: Callable[[], None]) -> None:
        """Call `action` after what is called now; callable from any thread."""
        self._soon.append(action)
        if not self.here:
            self._rouse()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in so many seconds; callable from any thread."""
        with self._lock:
            heapq.heappush(self._later, (self._clock() + seconds, next(self._number), action))
        if not self.here:
            self._rouse()

    def when_idle(self, action: Callable[[], None]) -> None:
        """Call `action` once nothing else is to be done at once: what takes long holds nothing up that waits."""
        self._idle.append(action)
        if not self.here:
            self._rouse()

    def elsewhere(
        self, function: Callable[[], object], then: Callable[[object], None], failed: Callable[[Exception], None]
    ) -> None:
        """Call `function` on a thread that may wait, and `then`, with what it returned, on this one.

        `failed` gets what it raised.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="devices-calls")

        def call() -> None:
            try:
                answer = function()
            except Exception as error:  # noqa: BLE001  # whose it is decides
                self.soon(partial(failed, error))
            else:
                self.soon(partial(then, answer))

        self._pool.submit(call)

    def watch(self, descriptor: int, events: int, ready: Ready) -> None:
        """Call `ready` whenever one of these `selectors` events holds, 0 for none just now; on this thread alone."""
        known = descriptor in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(descriptor)
        elif known:
            self._selector.modify(descriptor, events, ready)
        else:
            self._selector.register(descriptor, events, ready)

    def _rouse(self) -> None:
        with self._lock:
            if not self._closed:  # else the number may be another file's by now
                os.eventfd_write(self._wake, 1)

    def _woken(self, _events: int) -> None:
        os.eventfd_read(self._wake)

    def _run(self) -> None:
        while not self._ended:
            began = self._clock()
            ready = self._selector.select(self._patience())
            waited = self._clock()
            self._time += waited - began
            for key, events in ready:
                _guarded(key.data, events)
                self._call_soon()  # what was read is taken before more is read
            self._call_later()
            self._call_soon()
            if self._idle:  # one, then the connections again
                _guarded(self._idle.popleft())
            self._time += min(self._clock() - waited, _MOMENT_S)

    def _patience(self) -> float | None:
        if self._soon or self._idle or self._ended:
            return 0.0
        with self._lock:
            return max(0.0, self._later[0][0] - self._clock()) if self._later else None

    def _call_soon(self) -> None:
        while self._soon:
            _guarded(self._soon.popleft())

    def _call_later(self) -> None:
        now = self._clock()
        while True:
            with self._lock:
                if not self._later or self._later[0][0] > now:
                    return
                action = heapq.heappop(self._later)[2]
            _guarded(action)


def _guarded(action: Callable[..., None], *arguments: int) -> None:
    try:
        action(*arguments)
    except Exception:  # noqa: BLE001  # one device's trouble is not another's
        _log.exception("a simulated device failed")


class LoopWorker(Generic[T]):
    """As `edge_agent.turns.ThreadWorker`, on the loop's thread.

    `put` never waits: what is put in by the loop is taken before the loop reads on, so it stays short.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self.closed = False
        self._turns: Turns | None = None
        self._began = threading.Event()
        self._ended = threading.Event()
        self._due: float | None = None  # when what is waited for comes too late, or the pause is over
        self._timer: float | None = None  # when the loop calls us next
        self._takes = self._asked = False

    @property
    def alive(self) -> bool:
        """As `Worker.alive`."""
        return self._began.is_set() and not self._ended.is_set()

    @property
    def empty(self) -> bool:
        """As `Worker.empty`."""
        return not self._items

    def start(self, turns: Callable[[], Turns]) -> None:
        """As `Worker.start`."""
        self._began.set()
        self._loop.soon(lambda: self._begin(turns))

    def put(self, item: T) -> None:
        """As `Worker.put`."""
        if not self.closed:
            self._items.append(item)
            self._ask()

    def left(self) -> Iterator[T]:
        """As `Worker.left`."""
        while self._items:
            yield self._items.popleft()

    def aside(self, function: Callable[[], None]) -> None:
        """As `Worker.aside`, but when nothing else is to be done: here is one thread."""
        self._loop.when_idle(function)

    def close(self) -> None:
        """As `Worker.close`."""
        self.closed = True
        self._ask()

    def join(self, seconds: float) -> None:
        """As `Worker.join`."""
        if self._loop.here:
            self._look()
        elif self._began.is_set():
            self._ended.wait(seconds)

    def _begin(self, turns: Callable[[], Turns]) -> None:
        self._turns = turns()
        self._go_on(None)
        self._look()

    def _ask(self) -> None:
        """Have the loop look whether the turns can go on."""
        if not self._asked:
            self._asked = True
            self._loop.soon(self._look)

    def _look(self) -> None:
        self._asked = False
        while self._due is not None and not self._ended.is_set():
            if self._items and self._takes:
                self._go_on(self._items.popleft())
            elif self.closed or time.monotonic() >= self._due:
                self._go_on(None)
            else:
                self._set_timer(self._due)
                return

    def _set_timer(self, due: float) -> None:
        """One timer at a time: an earlier one finds out by itself that it is too early."""
        if due != float("inf") and (self._timer is None or self._timer > due):
            self._timer = due
            self._loop.after(due - time.monotonic(), lambda: self._ring(due))

    def _ring(self, timer: float) -> None:
        if self._timer == timer:
            self._timer = None
            self._look()

    def _go_on(self, answer: object) -> None:
        """Let the turns take one step."""
        self._due = None
        if self._turns is None:
            return
        try:
            wait = self._turns.send(answer)
        except BaseException as error:
            self._ended.set()
            if not isinstance(error, StopIteration):
                raise
            return
        if isinstance(wait, Call):
            self._loop.elsewhere(wait.function, self._answered, self._failed)
            return
        self._takes = isinstance(wait, Next)
        self._due = float("inf") if wait.seconds is None else time.monotonic() + wait.seconds

    def _failed(self, error: Exception) -> None:
        """What was called raised: the turns end with that, as a thread would."""
        self._ended.set()
        raise error

    def _answered(self, answer: object) -> None:
        self._go_on(answer)
        self._look()
