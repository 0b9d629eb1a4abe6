"""What happens when, for all devices on one thread: hundreds of devices need no clocks of their own."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Schedule:
    """Calls what was asked for at its time, one after the other; what one call raises is logged and ends nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()  # keeps the order of equal times, and functions from being compared
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Call nothing any more."""
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join(10)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in so many seconds; callable from any thread."""
        with self._news:
            heapq.heappush(self._due, (self._clock() + seconds, next(self._number), action))
            self._news.notify()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except Exception:  # noqa: BLE001  # one device's trouble is not another's
                _log.exception("a simulated device failed")

    def _next(self) -> Callable[[], None] | None:
        with self._news:
            while not self._ended:
                wait = self._due[0][0] - self._clock() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._news.wait(wait)
            return None
