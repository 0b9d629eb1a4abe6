"""The link against a real mosquitto: what is delivered, refused and healed. No time is asserted, only waited for."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from edge_agent.mqtt import link as link_module
from edge_agent.mqtt.backoff import (
    RECONNECT_FIRST_S,
    RECONNECT_LONGEST_S,
    STABLE_S,
    LinkState,
    failures_after,
    reconnect_wait,
)
from edge_agent.mqtt.client import OUTBOX
from edge_agent.mqtt.link import Handler, Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract.errors import MessageError, UsageError
from edge_simulator.broker import Broker, free_port
from tests.eventually import PATIENCE_S, eventually


@contextmanager
def linked(
    broker: Broker, name: str, handlers: Mapping[str, Handler] = MappingProxyType({}), **options: object
) -> Iterator[Link]:
    """A started link with quick reconnects, whose subscriptions `handlers` hold."""
    options.setdefault("clean_start", True)
    link = Link(BrokerSettings(port=broker.port), name, jitter=lambda: 0.0, **options)  # type: ignore[arg-type]
    for topic_filter, handler in handlers.items():
        link.subscribe(topic_filter, handler)
    link.start()
    try:
        eventually(lambda: link.connected)
        yield link
    finally:
        link.stop()


class Seen:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, payload))


def test_a_message_reaches_the_handler_of_each_matching_filter_in_order(broker: Broker) -> None:
    seen, other = Seen(), Seen()
    with linked(broker, "a") as link:
        link.subscribe("t/+", seen)
        link.subscribe("u/#", other)
        for number in range(50):
            assert link.publish("t/x", str(number).encode())
        eventually(lambda: len(seen.messages) == 50)
    assert [payload for _, payload in seen.messages] == [str(n).encode() for n in range(50)]
    assert other.messages == []


def test_the_will_is_retained_after_a_break_and_not_after_a_stop(broker: Broker) -> None:
    with linked(broker, "polite", will=("will/polite", b"offline")):
        pass
    script = (
        "import sys, time\n"
        "from edge_agent.mqtt.link import Link\nfrom edge_agent.mqtt.settings import BrokerSettings\n"
        "link = Link(BrokerSettings(port=int(sys.argv[1])), 'killed', clean_start=True,"
        " will=('will/killed', b'gone'))\n"
        "link.start()\n"
        "while not link.connected: time.sleep(0.01)\n"
        "print('up', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(broker.port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    seen = Seen()
    with linked(broker, "reader") as link:
        link.subscribe("will/#", seen)
        eventually(lambda: len(seen.messages) >= 1)
    assert seen.messages == [("will/killed", b"gone")]


def test_after_a_broker_restart_it_reconnects_subscribes_again_and_calls_on_connect(broker: Broker) -> None:
    connected, seen = Seen(), Seen()
    with linked(broker, "a", on_connect=lambda: connected("connect", b"")) as link:
        link.subscribe("t", seen)
        eventually(lambda: len(connected.messages) == 1)
        broker.kill()
        eventually(lambda: not link.connected)
        assert not link.publish("t", b"lost")
        broker.start()
        eventually(lambda: len(connected.messages) == 2)
        assert link.publish("t", b"again")
        eventually(lambda: (("t", b"again")) in seen.messages)
    assert link.state is LinkState.STOPPED


def test_connected_means_that_the_subscriptions_hold(broker: Broker) -> None:
    """So a device that is `online` can be commanded at once; tried twenty times, for it is a race."""
    with linked(broker, "sender") as sender:
        for number in range(20):
            seen = Seen()
            link = Link(BrokerSettings(port=broker.port), f"new-{number}", clean_start=True)
            link.subscribe(f"command/{number}", seen)
            link.start()
            eventually(lambda link=link: link.connected)  # type: ignore[misc]
            assert sender.publish(f"command/{number}", b"now")
            eventually(lambda seen=seen: len(seen.messages) == 1)  # type: ignore[misc]
            link.stop()


def test_a_durable_session_receives_what_was_said_while_it_was_away(broker: Broker) -> None:
    seen = Seen()
    with linked(broker, "durable", clean_start=False) as first:
        first.subscribe("command", seen)
        assert first.publish("command", b"one")
        eventually(lambda: len(seen.messages) == 1)
    with linked(broker, "sender") as sender:
        assert sender.publish("command", b"two")
    again = Seen()
    second = Link(BrokerSettings(port=broker.port), "durable", clean_start=False)
    second.subscribe("command", again)
    second.start()
    eventually(lambda: again.messages == [("command", b"two")])
    second.stop()


def test_a_message_larger_than_the_broker_takes_is_refused_by_name_and_the_connection_stays(tmp_path: Path) -> None:
    with Broker(tmp_path / "small", extra="max_packet_size 2000") as broker, linked(broker, "a") as link:
        assert link.largest_packet == 2000
        with pytest.raises(MessageError, match="broker's limit of 2000"):
            link.publish("t", bytes(2000))
        seen = Seen()
        link.subscribe("t", seen)
        # The largest that must still pass, to the byte: 10 is what the header adds at most.
        largest = bytes(2000 - len("t") - 10)
        assert link.publish("t", largest)
        eventually(lambda: seen.messages == [("t", largest)])
        assert link.connects == 1


def test_a_handler_that_fails_is_logged_and_the_next_message_still_arrives(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()

    def handler(topic: str, payload: bytes) -> None:
        if payload == b"bad":
            raise RuntimeError("this payload is bad")
        seen(topic, payload)

    with linked(broker, "a") as link:
        link.subscribe("t", handler)
        link.publish("t", b"bad")
        link.publish("t", b"good")
        eventually(lambda: seen.messages == [("t", b"good")])
    assert "this payload is bad" in caplog.text


def test_a_handler_may_block_and_publish_without_losing_what_arrives_meanwhile(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "INBOX", 4)  # so that paho is held back by a full inbox too
    release, seen = threading.Event(), Seen()

    def handler(topic: str, payload: bytes) -> None:
        release.wait(PATIENCE_S)
        seen(topic, payload)
        link.publish("answer", payload)

    answers = Seen()
    with linked(broker, "a", {"t": handler}) as link, linked(broker, "b", {"answer": answers}) as other:
        sent = 0
        while sent < 30:
            sent += other.publish("t", str(sent).encode())
        release.set()
        eventually(lambda: len(answers.messages) == 30)
    assert [p for _, p in seen.messages] == [str(n).encode() for n in range(30)]


def test_unsubscribe_ends_delivery(broker: Broker) -> None:
    seen, barrier = Seen(), Seen()
    with linked(broker, "a") as link:
        link.subscribe("t", seen)
        link.unsubscribe("t")
        link.subscribe("u", barrier)
        link.publish("t", b"x")
        link.publish("u", b"y")
        eventually(lambda: len(barrier.messages) == 1)
    assert seen.messages == []


def test_stop_returns_and_says_nothing_more_when_the_broker_is_frozen(broker: Broker) -> None:
    link = Link(BrokerSettings(port=broker.port), "a", clean_start=True)
    link.start()
    eventually(lambda: link.connected)
    pid = broker._process.pid  # type: ignore[union-attr]
    try:
        os.kill(pid, signal.SIGSTOP)
        for _ in range(100):
            link.publish("t", bytes(60_000))
        link.stop()  # the test's own time limit is the check
    finally:
        os.kill(pid, signal.SIGCONT)


def test_publishing_past_the_outbox_is_refused_instead_of_growing_memory(broker: Broker) -> None:
    link = Link(BrokerSettings(port=broker.port), "a", clean_start=True)
    link.start()
    eventually(lambda: link.connected)
    pid = broker._process.pid  # type: ignore[union-attr]
    try:
        os.kill(pid, signal.SIGSTOP)
        taken = sum(link.publish("t", b"x") for _ in range(OUTBOX + 50))
    finally:
        os.kill(pid, signal.SIGCONT)
    link.stop()
    assert taken == OUTBOX


def test_without_a_broker_it_waits_and_stops_at_once() -> None:
    link = Link(BrokerSettings(port=free_port()), "a", clean_start=True)
    link.start()
    eventually(lambda: link.state is LinkState.WAITING)
    assert not link.publish("t", b"x")
    link.stop()
    assert link.state is LinkState.STOPPED


def test_a_server_that_accepts_and_never_answers_is_given_up_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "CONNECT_S", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        link = Link(BrokerSettings(port=server.getsockname()[1]), "a", clean_start=True, jitter=lambda: 0.0)
        link.start()
        server.settimeout(PATIENCE_S)
        first, _ = server.accept()
        second, _ = server.accept()  # the second attempt is what is pinned
        link.stop()
        first.close()
        second.close()


@pytest.mark.parametrize("failures", [0, 1, 2, 5, 10, 1000])
def test_waits_double_up_to_the_longest_and_jitter_takes_at_most_half(failures: int) -> None:
    full = min(RECONNECT_LONGEST_S, RECONNECT_FIRST_S * 2 ** max(failures - 1, 0))
    assert reconnect_wait(failures, 0.0) == full / 2
    assert full / 2 <= reconnect_wait(failures, 0.999) < full


def test_only_a_connection_that_held_ends_a_row_of_failures() -> None:
    assert failures_after(3, 0.0) == 4
    assert failures_after(3, STABLE_S - 0.1) == 4
    assert failures_after(3, STABLE_S) == 0


def test_tls_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.pem is missing"):
        Link(BrokerSettings(tls=True, ca=tmp_path / "nowhere.pem"), "a", clean_start=True)


def test_tls_refuses_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(UsageError, match=r"ca\.pem cannot be used"):
        Link(BrokerSettings(tls=True, ca=tmp_path / "ca.pem"), "a", clean_start=True)
