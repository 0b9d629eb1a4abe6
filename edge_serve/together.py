"""Small requests that are there at the same time are answered at the same time, by the event loop and the threads.

No request waits for others to arrive: when the loop has read what is at its sockets, it answers one, idle threads are
woken for the rest, and each takes the next when it has ended one. A single request is answered by the loop, for handing
it to a thread costs more than it gains. All methods are the loop's.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from edge_serve.model.workers import Workers

T = TypeVar("T")

HERE_S: Final = 0.004
"""Seconds of the processor by which the loop may be held up at once; what takes longer is a thread's."""
_MOST_WAITING: Final = 256  # requests; then the loop answers one for each that it reads


class Together:
    """See the module."""

    def __init__(self, workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        self._workers, self._loop = workers, loop
        self._due = self._working = False
        self._delivered = 0

    def add(self, run: Callable[[int | None], T], done: Callable[[T | Exception], None]) -> None:
        """Have it run when the loop has read what is there; `run` and `done` as of `Job`."""
        self._workers.offer(run, done)
        if self._workers.offered > _MOST_WAITING and not self._working:
            self._here()
        self._again()

    def _again(self) -> None:
        if not self._due and self._workers.offered:
            self._due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        if self._delivered == self._workers.delivered:
            self._workers.wake(self._workers.offered - 1)
            self._here()
        else:  # answers of threads were written: the loop sends them when this returns, not after another request
            self._delivered = self._workers.delivered
        self._again()

    def _here(self) -> None:
        """One; then the loop looks at its sockets again."""
        self._working = True  # a client's next request, sent ahead, is read while this one's answer is written
        try:
            self._workers.work_here()
        finally:
            self._working = False
