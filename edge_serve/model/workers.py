"""Threads beside the event loop: large jobs from a bounded queue, and small ones that the loop would do as well.

A large job that waited too long is refused without being begun; one that is worked on for too long is answered for, and
its thread is free again when it ends. Small jobs are offered to whoever is free first, the loop or a thread. All public
methods are the event loop's, and outcomes are delivered on it.
"""

import asyncio
import collections
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from edge_serve.http.message import RefusedError, busy

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """One request's work."""

    run: Callable[[int | None], T]
    """Given the number of the thread, or None where the event loop does it."""
    done: Callable[[T | Exception], None]
    """Called with what `run` returned or raised, once, on the event loop, and never by `submit` or `offer`."""
    size: int = 0
    """Bytes that it keeps while it waits."""
    small: bool = False
    begun: bool = False
    delivered: bool = False
    timer: asyncio.TimerHandle | None = field(default=None)


class Workers:
    """See the module."""

    def __init__(
        self,
        threads: int,
        *,
        beside: int,
        queue: int,
        queue_bytes: int,
        answer_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`beside`: threads that are at small jobs at a time, for the loop is at them too and needs a core.

        `queue` and `queue_bytes` limit the large jobs that wait, `answer_s` the seconds of one.
        """
        self._beside, self._small = beside, 0
        self._queue, self._queue_bytes, self._answer_s, self._loop = queue, queue_bytes, answer_s, loop
        self._waiting: collections.deque[Job[Any]] = collections.deque()
        self._offered: collections.deque[Job[Any]] = collections.deque()
        self._bytes = 0
        self._idle = 0
        self._outcomes: collections.deque[tuple[Job[Any], object]] = collections.deque()
        self._loop_busy = False
        self._some = threading.Condition()
        self._ended = False
        self.delivered = 0
        """Outcomes of threads that were delivered by a call of the loop's own, not at the end of `work_here`."""
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Large jobs that no thread has begun."""
        return len(self._waiting)

    @property
    def offered(self) -> int:
        """Small jobs that were not begun."""
        return len(self._offered)

    def submit(self, run: Callable[[int | None], T], size: int, done: Callable[[T | Exception], None]) -> None:
        """Have a large job run on a thread.

        Raises:
            RefusedError: 503, there is no room.
        """
        job = Job(run, done, size)
        with self._some:
            heavy = self._waiting and self._bytes + size > self._queue_bytes
            if heavy or len(self._waiting) - self._idle >= self._queue:
                raise busy(f"{len(self._waiting)} requests wait already")
            self._waiting.append(job)
            self._bytes += size
            self._some.notify()
        job.timer = self._loop.call_later(self._answer_s, self._late, job)

    def offer(self, run: Callable[[int | None], T], done: Callable[[T | Exception], None]) -> None:
        """A small job: a thread that ends another one takes it, or an idle one after `wake`, or the loop."""
        self._offered.append(Job(run, done, small=True))

    def wake(self, most: int) -> None:
        """Have up to so many idle threads take what is offered."""
        most = min(most, self._beside - self._small)
        if self._idle and most > 0:
            with self._some:
                self._some.notify(most)

    def work_here(self) -> None:
        """Run the small job that has waited longest, then deliver its outcome and those of threads."""
        if (job := self._take()) is None:
            return
        self._loop_busy = True
        outcome = _outcome(job, None)
        self._loop_busy = False  # before the queue is emptied: a thread appends first and looks at this afterwards
        _deliver(job, outcome)
        self._deliver_all()

    def end(self) -> None:
        """The threads end after what they are at."""
        with self._some:
            self._ended = True
            self._some.notify_all()

    def _late(self, job: Job[Any]) -> None:
        with self._some:
            begun = job.begun
            if not begun:
                self._waiting.remove(job)
                self._bytes -= job.size
        if begun:
            why = f"no answer within {self._answer_s:g} s"
            _deliver(job, RefusedError(HTTPStatus.GATEWAY_TIMEOUT, why, remedy="ask for less at once"))
        else:
            _deliver(job, busy(f"it waited for {self._answer_s:g} s behind other requests"))

    def _work(self, number: int) -> None:
        small = False
        while (job := self._next(ended_small=small)) is not None:
            self._outcomes.append((job, _outcome(job, number)))
            small = job.small
            del job
            if not self._loop_busy:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and its connections with it
                    self._loop.call_soon_threadsafe(self._called)

    def _next(self, *, ended_small: bool) -> Job[Any] | None:
        """What a thread does next, the large first, for the loop does none of them; none at the end."""
        with self._some:
            self._idle += 1
            self._small -= ended_small
            while True:
                if self._waiting:
                    job = self._waiting.popleft()
                    self._bytes -= job.size
                    break
                if self._small < self._beside and (offered := self._take()) is not None:
                    job = offered
                    self._small += 1
                    break
                if self._ended:
                    return None
                self._some.wait()
            job.begun = True
            self._idle -= 1
            return job

    def _take(self) -> Job[Any] | None:
        try:
            return self._offered.popleft()
        except IndexError:
            return None

    def _called(self) -> None:
        self.delivered += self._deliver_all()

    def _deliver_all(self) -> int:
        """The outcomes of threads; how many."""
        count = 0
        while self._outcomes:
            _deliver(*self._outcomes.popleft())
            count += 1
        return count


def _outcome(job: Job[Any], thread: int | None) -> object:
    try:
        return job.run(thread)
    except Exception as error:  # noqa: BLE001  # delivered as the outcome
        return error


def _deliver(job: Job[Any], outcome: object) -> None:
    if job.timer is not None:
        job.timer.cancel()
    if job.delivered:
        return
    job.delivered = True
    try:
        job.done(outcome)
    except Exception:  # noqa: BLE001  # one connection's failure must not keep the outcomes behind it
        _log.exception("an answer could not be written")
