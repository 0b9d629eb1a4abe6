"""Threads beside the event loop, for photographs, large batches and what comes at once: a bounded queue before them.

A job that waited too long is refused without being begun; one that is worked on for too long is answered for, and its
thread is free again when it ends. All methods are the event loop's; the threads call back into it.
"""

import asyncio
import collections
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from edge_serve.http.message import RefusedError, busy

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
    """One request's work."""

    run: Callable[[int], T]
    """Given the number of the thread."""
    size: int
    """Bytes that it keeps while it waits."""
    done: "asyncio.Future[T]"
    begun: bool = False
    timer: asyncio.TimerHandle | None = field(default=None)


class Workers:
    """See the module."""

    def __init__(
        self, threads: int, *, queue: int, queue_bytes: int, answer_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._queue, self._queue_bytes, self._answer_s, self._loop = queue, queue_bytes, answer_s, loop
        self._waiting: collections.deque[Job[Any]] = collections.deque()
        self._bytes = 0
        self._idle = threads
        self._some = threading.Condition()
        self._ended = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"worker-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that no thread has begun."""
        return len(self._waiting)

    @property
    def idle(self) -> int:
        """Threads that would begin another job at once."""
        return max(0, self._idle - len(self._waiting))

    def submit(self, run: Callable[[int], T], size: int) -> "asyncio.Future[T]":
        """Have it run on a thread; the future gets its result or error.

        Raises:
            RefusedError: 503, there is no room.
        """
        with self._some:
            heavy = self._waiting and self._bytes + size > self._queue_bytes
            if heavy or len(self._waiting) - self._idle >= self._queue:
                raise busy(f"{len(self._waiting)} requests wait already")
            job: Job[T] = Job(run, size, self._loop.create_future())
            self._waiting.append(job)
            self._bytes += size
            self._some.notify()
        job.timer = self._loop.call_later(self._answer_s, self._late, job)
        return job.done

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
        if job.done.done():
            return
        if begun:
            error = RefusedError(
                HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {self._answer_s:g} s", remedy="ask for less at once"
            )
        else:
            error = busy(f"it waited for {self._answer_s:g} s behind other requests")
        job.done.set_exception(error)

    def _work(self, number: int) -> None:
        while True:
            with self._some:
                while not self._waiting and not self._ended:
                    self._some.wait()
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                job.begun = True
                self._idle -= 1
                self._bytes -= job.size
            result, error = None, None
            try:
                result = job.run(number)
            except Exception as failed:  # noqa: BLE001  # told to whoever asked for it
                error = failed
            with self._some:
                self._idle += 1
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                self._loop.call_soon_threadsafe(_finish, job, result, error)
            del job, result, error


def _finish(job: Job[Any], result: object, error: Exception | None) -> None:
    if job.timer is not None:
        job.timer.cancel()
    if job.done.done():
        return
    if error is not None:
        job.done.set_exception(error)
    else:
        job.done.set_result(result)
