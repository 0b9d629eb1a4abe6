"""Turns say what they wait for, and whoever drives them answers alike: the device's thread, and the loop of a fleet."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge_agent.turns import Call, Next, Pause, ThreadWorker, Turns, Worker
from edge_simulator.loop import Loop, LoopWorker
from tests.eventually import eventually

FOR_EVER = None


@pytest.fixture(params=["thread", "loop"])
def worker(request: pytest.FixtureRequest) -> Iterator[Worker[Any]]:
    if request.param == "thread":
        yield ThreadWorker("test", 4)
        return
    loop = Loop()
    loop.start()
    yield LoopWorker(loop)
    loop.stop()


def collector(worker: Worker[Any], seen: list[Any], seconds: float | None = FOR_EVER) -> Callable[[], Turns]:
    """Turns that note what they take, to the end."""

    def turns() -> Turns:
        while not worker.closed:
            seen.append((yield Next(seconds)))
        seen.append("over")

    return turns


def test_items_are_taken_in_order_also_those_from_before_the_start(worker: Worker[Any]) -> None:
    seen: list[Any] = []
    worker.put(1)
    worker.put(2)
    worker.start(collector(worker, seen))
    for item in range(3, 40):
        worker.put(item)
    eventually(lambda: seen == list(range(1, 40)))
    assert worker.alive
    assert worker.empty
    worker.close()
    worker.join(30)
    assert not worker.alive
    assert seen[-1] == "over"


def test_none_comes_when_nothing_does_in_time_and_again(worker: Worker[Any]) -> None:
    seen: list[Any] = []
    worker.start(collector(worker, seen, 0.01))
    eventually(lambda: len(seen) > 3)
    worker.close()
    worker.join(30)
    assert set(seen) == {None, "over"}


def test_a_pause_takes_nothing_and_ends_by_itself_or_with_the_end(worker: Worker[Any]) -> None:
    seen: list[Any] = []

    def turns() -> Turns:
        began = time.monotonic()
        yield Pause(0.2)
        seen.append(time.monotonic() - began >= 0.2)
        seen.append((yield Next(None)))
        yield Pause(1000.0)
        seen.append("over")

    worker.start(turns)
    worker.put("item")
    eventually(lambda: len(seen) == 2)
    assert seen == [True, "item"]
    worker.close()
    worker.join(30)
    assert seen[-1] == "over"


def test_a_call_may_block_and_its_answer_comes_back(worker: Worker[Any]) -> None:
    seen: list[Any] = []
    release = threading.Event()

    def blocking() -> str:
        release.wait(30)
        return "called"

    def turns() -> Turns:
        seen.append((yield Call(blocking)))
        seen.append((yield Next(None)))

    worker.start(turns)
    worker.put("meanwhile")
    release.set()
    eventually(lambda: seen == ["called", "meanwhile"])
    worker.join(30)
    assert not worker.alive


def test_what_was_put_in_before_the_end_can_be_taken_at_the_end_and_nothing_after_it(worker: Worker[Any]) -> None:
    seen: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()

    def turns() -> Turns:
        yield Call(lambda: (begun.set(), go_on.wait(30)))
        seen.extend(worker.left())

    worker.start(turns)
    begun.wait(30)
    worker.put(1)
    worker.put(2)
    worker.close()
    worker.put(3)
    go_on.set()
    worker.join(30)
    assert seen == [1, 2]


def test_what_is_done_aside_brings_its_answer_as_an_item(worker: Worker[Any]) -> None:
    seen: list[Any] = []
    worker.start(collector(worker, seen))
    worker.aside(lambda: worker.put("answer"))
    eventually(lambda: seen == ["answer"])
    worker.close()
    worker.join(30)


def test_turns_may_end_their_own_worker_without_waiting_for_themselves(worker: Worker[Any]) -> None:
    seen: list[Any] = []

    def turns() -> Turns:
        seen.append((yield Next(None)))
        worker.close()
        worker.join(30)
        seen.append("not held up")

    began = time.monotonic()
    worker.start(turns)
    worker.put("item")
    eventually(lambda: seen == ["item", "not held up"])
    assert time.monotonic() - began < 30
    eventually(lambda: not worker.alive)


def failing() -> None:
    raise RuntimeError("on purpose")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("called", [False, True])
def test_turns_that_raise_or_call_what_raises_are_not_alive_any_more(worker: Worker[Any], called: bool) -> None:
    def turns() -> Turns:
        yield Next(None)
        if called:
            yield Call(failing)
        failing()

    worker.start(turns)
    eventually(lambda: worker.alive)
    worker.put("item")
    eventually(lambda: not worker.alive)
