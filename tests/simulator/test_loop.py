"""The loop that carries all devices of a process: the agent's link on it behaves as it does on threads of its own."""

import os
import resource
import threading
import time
from collections.abc import Iterator

import pytest

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract.errors import EdgewiseError
from edge_simulator import open_files
from edge_simulator.broker import Broker
from edge_simulator.loop import Loop, LoopWorker
from edge_simulator.network import LoopNetwork
from tests.eventually import eventually


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.start()
    yield made
    made.stop()


class OnLoop(Link):
    """A link on the loop."""

    def __init__(self, broker: Broker, loop: Loop, name: str, **options: object) -> None:
        self.network = LoopNetwork(loop)
        super().__init__(
            BrokerSettings(port=broker.port, keepalive_s=5), name, clean_start=True, jitter=lambda: 0.0,
            network=self.network, worker=lambda _name, _longest: LoopWorker(loop), **options,  # type: ignore[arg-type]
        )  # fmt: skip
        self.seen: list[bytes] = []

    def note(self, _topic: str, payload: bytes) -> None:
        self.seen.append(payload)

    def up(self) -> "OnLoop":
        self.start()
        eventually(lambda: self.connected, "connected")
        return self


def test_what_is_due_is_called_in_the_order_of_its_time_and_an_error_ends_nothing(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []
    loop.after(0.10, lambda: called.append("last"))
    loop.after(0.05, lambda: called.append("later"))
    loop.soon(lambda: os.close(-1))
    loop.soon(lambda: called.append("soon"))
    eventually(lambda: len(called) == 3)
    assert called == ["soon", "later", "last"]
    assert "a simulated device failed" in caplog.text


def test_what_takes_long_is_done_one_by_one_and_everything_else_between(loop: Loop) -> None:
    called: list[str] = []
    go = threading.Event()
    loop.soon(lambda: go.wait(30) and None)
    for number in range(3):
        loop.when_idle(
            lambda number=number: (called.append(f"long {number}"), loop.soon(lambda: called.append("short")))
        )  # type: ignore[misc]
    go.set()
    eventually(lambda: len(called) == 6)
    assert called == ["long 0", "short", "long 1", "short", "long 2", "short"]


def test_the_time_of_devices_counts_waiting_and_next_to_nothing_of_the_work_of_others(loop: Loop) -> None:
    called: list[float] = []
    loop.soon(lambda: (called.append(loop.time()), time.sleep(0.4), loop.soon(lambda: called.append(loop.time()))))  # type: ignore[func-returns-value, arg-type, return-value]
    eventually(lambda: len(called) == 2)
    loop.after(0.4, lambda: called.append(loop.time()))
    eventually(lambda: len(called) == 3)
    assert called[1] - called[0] < 0.1
    assert called[2] - called[1] > 0.3


def test_a_loop_that_ended_is_woken_no_more_whatever_its_descriptor_is_now() -> None:
    ended = Loop()
    ended.start()
    ended.stop()
    reading, writing = os.pipe()
    called: list[str] = []
    ended.soon(lambda: called.append("soon"))
    ended.after(0.0, lambda: called.append("after"))
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 8)
    os.close(reading)
    os.close(writing)
    assert called == []


def test_many_links_share_one_thread_and_each_gets_its_messages_whole(broker: Broker, loop: Loop) -> None:
    links = [OnLoop(broker, loop, f"many-{number}") for number in range(20)]
    before = threading.active_count()
    for link in links:
        link.subscribe("many/#", link.note)
        link.start()
    eventually(lambda: all(link.connected for link in links))
    body = [bytes([number]) * 70_000 for number in range(10)]
    for payload in body:
        assert links[0].publish("many/x", payload)
    eventually(lambda: all(len(link.seen) == 10 for link in links))
    assert all(link.seen == body for link in links)
    assert threading.active_count() <= before + 16  # those that connect, which are shared too
    for link in links:
        link.stop()
        assert not link.connected


def test_a_cut_publishes_the_will_and_a_stop_does_not(broker: Broker, loop: Loop) -> None:
    watcher = OnLoop(broker, loop, "watcher")
    watcher.subscribe("will/+", watcher.note)
    watcher.up()
    cut = OnLoop(broker, loop, "cut", will=("will/cut", b"cut")).up()
    polite = OnLoop(broker, loop, "polite", will=("will/polite", b"polite")).up()
    polite.stop()
    cut.cut()
    eventually(lambda: watcher.seen)
    assert watcher.seen == [b"cut"]
    watcher.stop()


def test_it_is_back_after_its_broker_and_can_be_started_again(broker: Broker, loop: Loop) -> None:
    link = OnLoop(broker, loop, "back")
    link.subscribe("back", link.note)
    link.up()
    broker.kill()
    eventually(lambda: not link.connected, "the loss is seen")
    assert not link.publish("back", b"1")
    broker.start()
    eventually(lambda: link.publish("back", b"2") and True, "connected again")
    eventually(lambda: link.seen == [b"2"])
    link.stop()
    link.up().stop()
    assert link.connects == 3


def test_a_line_that_is_held_reads_nothing_and_then_all_of_it(broker: Broker, loop: Loop) -> None:
    link = OnLoop(broker, loop, "held")
    link.subscribe("held", link.note, qos=0)
    link.up()
    other = OnLoop(broker, loop, "other").up()
    loop.soon(lambda: link.network.hold(0.5))
    began = time.monotonic()
    for number in range(30):
        assert other.publish("held", bytes([number]))
    eventually(lambda: len(link.seen) == 30)
    assert time.monotonic() - began > 0.3
    for each in (link, other):
        each.stop()


def test_it_stays_connected_past_its_keepalive(broker: Broker, loop: Loop) -> None:
    link = OnLoop(broker, loop, "alive").up()
    time.sleep(9)  # the broker ends a connection that is silent for one and a half times of five seconds
    assert link.connected
    assert link.connects == 1
    link.stop()


def test_too_many_devices_for_the_descriptors_of_a_process_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.update(now=limit))
    open_files.allow_open_files(400)
    assert limits["now"] == (400 * 8 + 256, 4096)
    open_files.allow_open_files(100)
    assert limits["now"] == (400 * 8 + 256, 4096)  # never lowered
    with pytest.raises(EdgewiseError, match=r"at most 480 here"):
        open_files.allow_open_files(1000)
