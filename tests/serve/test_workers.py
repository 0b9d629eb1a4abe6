"""Jobs of the loop and its threads: each is run once, by whoever is free, and told of once, on the loop."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_serve.http.message import RefusedError
from edge_serve.model.workers import Workers
from edge_serve.together import Together

PATIENCE_S = 30.0


def within(
    threads: int,
    steps: Callable[[Workers, Together], Any],
    *,
    beside: int = 5,
    queue: int = 1000,
    answer_s: float = 30.0,
) -> Any:
    """Run `steps` on a loop with its workers, which end afterwards."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        workers = Workers(threads, beside=beside, queue=queue, queue_bytes=1000, answer_s=answer_s, loop=loop)
        try:
            return await asyncio.wait_for(steps(workers, Together(workers, loop)), PATIENCE_S)
        finally:
            workers.end()

    return asyncio.run(main())


@pytest.mark.parametrize(("threads", "beside"), [(1, 1), (2, 1), (5, 5), (5, 2)])
def test_every_job_is_run_once_and_told_of_once_on_the_loop(threads: int, beside: int) -> None:
    count = 600

    async def steps(workers: Workers, together: Together) -> tuple[list[Any], set[int]]:
        told: list[Any] = []
        where: set[int] = set()
        all_told = asyncio.Event()

        def done(outcome: Any) -> None:
            where.add(threading.get_ident())
            told.append(outcome)
            if len(told) == count:
                all_told.set()

        def job(number: int) -> Callable[[int | None], int]:
            def run(thread: int | None) -> int:
                time.sleep(0.0005 * (number % 3))
                if number % 7 == 0:
                    raise ValueError(number)
                return number if thread is None or 0 <= thread < threads else -1

            return run

        for number in range(count):
            if number % 5 == 0:
                workers.submit(job(number), 1, done)
            else:
                together.add(job(number), done)
            if number % 50 == 0:
                await asyncio.sleep(0.002)
        await all_told.wait()
        await asyncio.sleep(0.05)
        return told, where

    told, where = within(threads, steps, beside=beside)
    assert sorted(each.args[0] if isinstance(each, ValueError) else each for each in told) == list(range(count))
    assert where == {threading.get_ident()}


def test_a_job_that_is_alone_is_the_loops_and_of_several_a_thread_takes_some() -> None:
    async def steps(_: Workers, together: Together) -> tuple[list[int | None], list[int | None]]:
        async def ask(several: int) -> list[int | None]:
            ends: list[asyncio.Future[int | None]] = [
                asyncio.get_running_loop().create_future() for _ in range(several)
            ]

            def run(thread: int | None) -> int | None:
                time.sleep(0.05)
                return thread

            for end in ends:
                together.add(run, end.set_result)
            return await asyncio.gather(*ends)

        return await ask(1), await ask(4)

    alone, several = within(1, steps)
    assert alone == [None]
    assert (None in several, 0 in several) == (True, True)


def test_no_more_threads_than_may_are_at_small_jobs_and_all_are_at_large_ones() -> None:
    async def steps(workers: Workers, together: Together) -> tuple[int, int]:
        async def most(hand: Callable[..., None]) -> int:
            at_once, told, lock = [0, 0], list[object](), threading.Lock()

            def run(thread: int | None) -> None:
                with lock:
                    at_once[0] += thread is not None
                    at_once[1] = max(at_once)
                time.sleep(0.01)
                with lock:
                    at_once[0] -= thread is not None

            for _ in range(40):
                hand(run, told.append)
            while len(told) < 40:
                await asyncio.sleep(0.01)
            return at_once[1]

        return await most(together.add), await most(lambda run, done: workers.submit(run, 1, done))

    assert within(4, steps, beside=2) == (2, 4)


def test_small_jobs_do_not_wait_for_a_thread_that_is_at_a_large_one() -> None:
    async def steps(workers: Workers, together: Together) -> list[str]:
        go, ended, order = threading.Event(), asyncio.Event(), list[str]()

        def large_told(_: object) -> None:
            order.append("large")
            ended.set()

        def small_told(_: object) -> None:
            order.append("small")
            if len(order) == 5:
                go.set()

        workers.submit(lambda _: go.wait(PATIENCE_S), 1, large_told)
        for _ in range(5):
            together.add(lambda _: 0, small_told)
        await ended.wait()
        return order

    assert within(1, steps) == ["small"] * 5 + ["large"]


def test_what_waited_too_long_or_takes_too_long_is_refused_once_and_the_thread_is_free_again() -> None:
    async def steps(workers: Workers, _: Together) -> list[Any]:
        go, told = threading.Event(), list[Any]()
        workers.submit(lambda _: go.wait(PATIENCE_S), 1, told.append)
        await asyncio.sleep(0.1)
        workers.submit(lambda _: "never begun", 1, told.append)
        while len(told) < 2:
            await asyncio.sleep(0.01)
        go.set()
        workers.submit(lambda _: "next", 1, told.append)
        while len(told) < 3:
            await asyncio.sleep(0.01)
        return told

    slow, late, following = within(1, steps, answer_s=0.5)
    assert (slow.status, late.status, following) == (504, 503, "next")


def test_where_there_is_no_room_a_large_job_is_refused_at_once() -> None:
    async def steps(workers: Workers, _: Together) -> tuple[int, str]:
        go = threading.Event()
        try:
            workers.submit(lambda _: go.wait(PATIENCE_S), 1, lambda _: None)
            while workers.waiting:
                await asyncio.sleep(0.01)
            workers.submit(lambda _: 0, 1, lambda _: None)
            with pytest.raises(RefusedError, match="1 requests wait already") as many:
                workers.submit(lambda _: 0, 1, lambda _: None)
            return many.value.status, "refused"
        finally:
            go.set()

    assert within(1, steps, queue=1) == (503, "refused")


def test_an_answer_that_cannot_be_written_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(workers: Workers, together: Together) -> list[Any]:
        delivered: list[Any] = []

        def broken(_: object) -> None:
            raise OSError("gone")

        for number in range(6):
            together.add(lambda _: time.sleep(0.01), broken if number % 2 else delivered.append)
            workers.submit(lambda _: time.sleep(0.001), 1, broken if number % 2 else delivered.append)
        while len(delivered) < 6:
            await asyncio.sleep(0.01)
        return delivered

    assert within(2, steps) == [None] * 6
    assert "an answer could not be written" in caplog.text
