"""Small requests that are there at the same time are answered at the same time, on the event loop and the idle threads.

Nobody waits for others to come: what the loop has read when it has looked at every socket is shared. So more than one
core works for them, and one handing-over serves several; a request that is alone is answered by the loop itself, for
handing it to a thread costs more than it gains. All methods are the loop's.
"""

import asyncio
import collections
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from edge_serve.answering import Answered, answered, answered_together, failed
from edge_serve.http.message import RefusedError
from edge_serve.model.loading import Loaded
from edge_serve.model.workers import Workers
from edge_serve.protocols.asked import Asked

HERE_S: Final = 0.004
"""Seconds of the processor by which the loop may be held up at once; what takes longer is a thread's."""
_TOGETHER: Final = 2  # requests that a thread is given in one go: with more, their clients wait longer for the last
_MOST_WAITING: Final = 256  # requests; then the loop answers one for each that it reads


class Waiting(NamedTuple):
    """One request."""

    loaded: Loaded
    asked: Asked
    end: Callable[[Answered], None]


class Together:
    """See the module."""

    def __init__(self, workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        self._workers, self._loop = workers, loop
        self._waiting: collections.deque[Waiting] = collections.deque()
        self._due = False

    def add(self, one: Waiting) -> None:
        """Have it answered when the loop has read what is there."""
        self._waiting.append(one)
        if len(self._waiting) >= _MOST_WAITING:
            self._here()
        self._again()

    def _again(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Share what waits among the idle threads and the loop, the threads first."""
        self._due = False
        for idle in range(self._workers.idle, 0, -1):
            share = min(len(self._waiting) // (idle + 1), _TOGETHER)
            if share == 0:
                break
            taken = self._taken(share)
            size = sum(one.asked.tensors.nbytes for one in taken)
            several, loaded = [one.asked for one in taken], taken[0].loaded
            try:
                given = self._workers.submit(partial(_answered, several, loaded), size)
            except RefusedError:  # no room in the threads' queue: they wait here, and the loop answers them
                self._waiting.extendleft(reversed(taken))
                break
            given.add_done_callback(partial(_told, taken))
        self._here()
        self._again()

    def _here(self) -> None:
        """One; then the loop looks at its sockets again."""
        if self._waiting:
            one = self._waiting.popleft()
            one.end(answered(one.asked, one.loaded.here))

    def _taken(self, most: int) -> list[Waiting]:
        """The first, and those behind it of the same model, up to so many."""
        taken = [self._waiting.popleft()]
        while self._waiting and len(taken) < most and self._waiting[0].loaded is taken[0].loaded:
            taken.append(self._waiting.popleft())
        return taken


def _answered(several: list[Asked], loaded: Loaded, thread: int) -> list[Answered]:
    return answered_together(several, loaded.threads[thread])


def _told(taken: list[Waiting], given: "asyncio.Future[list[Answered]]") -> None:
    error = given.exception()
    ends = [failed(error) for _ in taken] if error is not None else given.result()
    for one, end in zip(taken, ends, strict=True):
        one.end(end)
