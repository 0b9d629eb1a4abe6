"""From the pipeline to a bridge over a real mosquitto: nothing missing, nothing twice, whatever is killed when."""

import inspect
import sqlite3
import subprocess
import sys
import threading
import time
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.inference import events
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.telemetry import delivery
from edge_agent.telemetry.delivery import Delivery
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_agent.telemetry.settings import SpoolSettings
from edge_agent.telemetry.spool import Spool
from edge_contract import messages, topics
from edge_contract.messages import Ack, Key, Prediction, PredictionBody, Telemetry, TelemetryBody, decode, encode
from edge_simulator.broker import Broker
from tests.agent.telemetry.delivering_process import numbered
from tests.agent.telemetry.test_spool import telemetry
from tests.eventually import PATIENCE_S, eventually


class KeepingBridge:
    """What a bridge owes a device: keep each key once, acknowledge what is kept, up to the first gap."""

    def __init__(self, port: int) -> None:
        self.kept: dict[Key, Prediction] = {}
        self.received = 0
        self._stored: set[Key] = set()
        self.acknowledging = True
        self._lock = threading.Lock()
        self.link = Link(BrokerSettings(port=port), "bridge", clean_start=False, jitter=lambda: 0.0)
        self.link.subscribe(topics.all_devices("prediction"), self._prediction)
        self.link.subscribe(topics.all_devices("telemetry"), self._telemetry)
        self.link.start()

    def _prediction(self, _topic: str, payload: bytes) -> None:
        message = decode(payload, Prediction)
        with self._lock:
            self.kept[(message.session, message.sequence)] = message
        self._store(message)

    def _telemetry(self, _topic: str, payload: bytes) -> None:
        self._store(decode(payload, Telemetry))

    def _store(self, message: Prediction | Telemetry) -> None:
        self.received += 1
        self._stored.add((message.session, message.sequence))
        if not self.acknowledging:
            return
        # Everything from `oldest` on without a gap in the sequence.
        sequence = message.oldest[1]
        by_sequence = {key[1]: key for key in self._stored if key >= message.oldest}
        last: Key | None = None
        while sequence in by_sequence:
            last = by_sequence[sequence]
            sequence += 1
        if last is not None:
            ack = Ack(session=last[0], sequence=last[1])
            self.link.publish(topics.device("d", "ack"), encode(ack))


class Device:
    """Spool, link and delivery of one device in this process."""

    def __init__(self, tmp_path: Path, port: int, **options: Any) -> None:
        settings = SpoolSettings(**{"resend_s": 0.3, **options})
        self.meter = Meter()
        self.spool = Spool(tmp_path / "spool.db", settings, time.time)
        self.link = Link(
            BrokerSettings(port=port),
            "d",
            clean_start=False,
            on_connect=lambda: self.delivery.connected(),  # noqa: PLW0108  # it does not exist yet
            jitter=lambda: 0.0,
        )
        self.delivery = Delivery(
            self.spool, self.link, "d", session=1, settings=settings, meter=self.meter, clock=time.monotonic
        )
        self.delivery.start()

    def stop(self) -> None:
        self.delivery.stop(5)
        self.link.stop()


def test_everything_arrives_and_the_spool_empties(broker: Broker, tmp_path: Path) -> None:
    bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
    device.link.start()
    for number in range(200):
        device.delivery.send(numbered(number))
    eventually(lambda: len(bridge.kept) == 200 and device.spool.rows == 0)
    device.stop()
    bridge.link.stop()
    assert sorted(message.track for message in bridge.kept.values()) == list(range(200))
    assert sum(device.meter.read().stages["publish"].counts) == 200


def test_without_the_bridge_nothing_leaves_though_the_broker_takes_it_all(broker: Broker, tmp_path: Path) -> None:
    device = Device(tmp_path, broker.port, window=10)
    device.link.start()
    for number in range(30):
        device.delivery.send(numbered(number))
    eventually(lambda: device.spool.rows == 30 and device.link.connected)
    time.sleep(0.5)  # more than a resend: nothing may happen in it
    assert device.spool.rows == 30
    bridge = KeepingBridge(broker.port)
    eventually(lambda: device.spool.rows == 0)
    device.stop()
    bridge.link.stop()
    assert len(bridge.kept) == 30


def test_a_bridge_that_keeps_but_does_not_answer_gets_no_more_than_a_window_before_a_resend(
    broker: Broker, tmp_path: Path
) -> None:
    bridge = KeepingBridge(broker.port)
    bridge.acknowledging = False
    eventually(lambda: bridge.link.connected)
    device = Device(tmp_path, broker.port, window=5, resend_s=3600.0)
    for number in range(50):
        device.delivery.send(numbered(number))
    device.link.start()
    eventually(lambda: bridge.received >= 5)
    time.sleep(0.3)
    device.stop()
    bridge.link.stop()
    assert bridge.received == 5


def test_for_how_long_the_oldest_message_waits_is_told_and_nothing_once_all_are_acknowledged(
    broker: Broker, tmp_path: Path
) -> None:
    bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
    bridge.acknowledging = False
    began = time.monotonic()
    device.delivery.send(numbered(0))
    eventually(lambda: device.delivery.gauges()["ack_lag_seconds"] > 0.3)
    assert device.delivery.gauges()["ack_lag_seconds"] <= time.monotonic() - began
    bridge.acknowledging = True
    device.link.start()
    eventually(lambda: device.delivery.gauges()["ack_lag_seconds"] == 0.0)
    device.stop()
    bridge.link.stop()


def test_a_gap_that_dropping_left_is_overcome(broker: Broker, tmp_path: Path) -> None:
    """The bridge waits for what was dropped until a message says that nothing older will come."""
    device = Device(tmp_path, broker.port, max_bytes=12_000)
    for number in range(15):
        device.delivery.send(numbered(number))
        device.delivery.send(telemetry(number))
        device.delivery.send(telemetry(number))
    eventually(lambda: device.spool.dropped["telemetry"] > 5)
    bridge = KeepingBridge(broker.port)
    device.link.start()
    eventually(lambda: device.spool.rows == 0)
    device.stop()
    bridge.link.stop()
    assert sorted(message.track for message in bridge.kept.values()) == list(range(15))


def test_a_malformed_acknowledgement_is_counted_and_ignored(broker: Broker, tmp_path: Path) -> None:
    device = Device(tmp_path, broker.port)
    device.delivery.send(numbered(1))
    device.link.start()
    eventually(lambda: device.link.connected)
    device.link.publish(topics.device("d", "ack"), b'{"session": 1}')
    eventually(lambda: device.meter.read().counters.get("errors_ack") == 1)
    device.stop()
    assert sqlite3.connect(tmp_path / "spool.db").execute("SELECT count(*) FROM message").fetchone() == (1,)


def test_a_message_this_broker_never_takes_does_not_hold_back_the_rest(tmp_path: Path) -> None:
    with Broker(tmp_path / "small", extra="max_packet_size 2000") as broker:
        bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
        large = msgspec.structs.replace(numbered(1), probabilities=(0.1234567,) * 500)
        device.delivery.send(large)
        device.delivery.send(numbered(2))
        device.link.start()
        eventually(lambda: bridge.kept and device.spool.rows == 0)
        device.stop()
        bridge.link.stop()
    assert [message.track for message in bridge.kept.values()] == [2]
    assert device.spool.dropped["prediction"] == 1


@pytest.mark.slow
def test_broker_away_and_the_agent_killed_ten_times_nothing_is_missing_and_nothing_twice(
    broker: Broker, tmp_path: Path
) -> None:
    """Four kills with the broker away, six with it there, once killed itself; then the bridge must have everything."""
    bridge = KeepingBridge(broker.port)
    eventually(lambda: bridge.link.connected)
    broker.kill()
    owed: set[tuple[int, int]] = set()
    for kill in range(10):
        if kill == 4:
            broker.start()
        if kill == 7:
            broker.kill()
            broker.start()
        owed |= _killed_while_sending(tmp_path, broker.port, session=kill + 1, after=15 + 7 * (kill % 3))
    device = Device(tmp_path, broker.port)
    device.link.start()
    eventually(lambda: device.spool.rows == 0)
    device.stop()
    bridge.link.stop()
    got = [(message.session, message.track) for message in bridge.kept.values()]
    assert len(got) == len(set(got))
    assert set(got) >= owed
    assert len(owed) > 150


def _killed_while_sending(state_dir: Path, port: int, *, session: int, after: int) -> set[tuple[int, int]]:
    """Run the sending process until the spool holds `after` of its messages more; kill it; what is owed of it."""
    script = Path(__file__).with_name("delivering_process.py")
    arguments = [str(state_dir), str(port), str(session), "1", "100"]
    process = subprocess.Popen([sys.executable, str(script), *arguments], cwd=Path(__file__).parents[3])
    highest = 0
    deadline = time.monotonic() + PATIENCE_S
    while highest < after and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
        highest = _highest(state_dir / "spool.db", session, highest)
    process.kill()
    process.wait()
    # Everything up to the highest number seen on disk was kept, sent or not, acknowledged or not.
    return {(session, number) for number in range(1, highest + 1)}


def _highest(path: Path, session: int, known: int) -> int:
    """The highest number of this session seen in the spool; rows may already have left again."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as database:
            rows = database.execute("SELECT body FROM message WHERE session = ?", (session,)).fetchall()
    except sqlite3.Error:
        return known
    return max([known, *(decode(body, Prediction).track for (body,) in rows)])


def _fields(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _mentions(hint: Any, wanted: tuple[str, ...]) -> bool:
    return any(word in str(hint) for word in wanted)


@pytest.mark.parametrize(
    "kind",
    [
        PredictionBody,
        TelemetryBody,
        Prediction,
        Telemetry,
        messages.Histogram,
        messages.ModelRef,
        events.PredictionEvent,
    ],
)
def test_no_field_on_the_way_out_could_hold_an_image(kind: type) -> None:
    assert _fields(kind)
    for name, hint in _fields(kind).items():
        assert not _mentions(hint, ("bytes", "bytearray", "memoryview", "ndarray", "Any", "object")), name


def test_what_delivers_takes_only_the_two_message_types_and_what_reports_takes_no_picture() -> None:
    assert _fields(Delivery.send)["body"] == PredictionBody | TelemetryBody
    for name, method in inspect.getmembers(MetricsObserver, inspect.isfunction):
        for hint in _fields(method).values():
            assert not _mentions(hint, ("Pixels", "ndarray", "bytes", "Frame")), name


def test_whatever_fails_the_delivery_goes_on_and_says_so(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The spool loses its table under a running agent: what comes then is delivered, and no key is used twice."""
    bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
    device.link.start()
    for number in (1, 2):
        device.delivery.send(numbered(number))
    eventually(lambda: len(bridge.kept) == 2 and device.spool.rows == 0)
    with sqlite3.connect(tmp_path / "spool.db") as other:
        other.execute("DROP TABLE message")
    other.close()
    device.delivery.send(numbered(3))
    eventually(lambda: "messages cannot be delivered" in caplog.text and not device.delivery.trouble)
    device.delivery.send(numbered(4))
    eventually(lambda: len(bridge.kept) == 3)
    assert {each.track: key for key, each in bridge.kept.items()} == {1: (1, 1), 2: (1, 2), 4: (1, 3)}
    assert device.delivery.counters()["spool_dropped"] == 1
    device.stop()
    bridge.link.stop()


def test_what_json_cannot_hold_is_dropped_and_counted(broker: Broker, tmp_path: Path) -> None:
    bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
    device.link.start()
    body = numbered(1)
    device.delivery.send(msgspec.structs.replace(body, track=2**70))
    device.delivery.send(msgspec.structs.replace(body, label="\ud800"))
    device.delivery.send(msgspec.structs.replace(body, confidence=float("nan")))
    device.delivery.send(numbered(2))
    eventually(lambda: len(bridge.kept) == 1)
    assert device.delivery.counters()["spool_dropped"] == 3
    assert device.delivery.trouble == ""
    device.stop()
    bridge.link.stop()


def test_a_disk_that_hangs_holds_up_no_command_and_what_was_not_heard_meanwhile_is_said_again(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_WAITING", 2)
    bridge, device = KeepingBridge(broker.port), Device(tmp_path, broker.port)
    goes_on, store, commands = threading.Event(), device.spool.put, list[bytes]()
    monkeypatch.setattr(device.spool, "put", lambda *given: goes_on.wait(PATIENCE_S) and store(*given))
    device.link.subscribe(topics.device("d", "command"), lambda _, payload: commands.append(payload))
    device.delivery.send(numbered(0))
    eventually(lambda: device.delivery._events.qsize() == 0)  # the disk has it
    for number in (1, 2):
        device.delivery.send(numbered(number))
    device.link.start()  # its event finds no room
    eventually(lambda: device.link.connected and bridge.link.connected)
    for _ in range(3):
        assert bridge.link.publish(topics.device("d", "ack"), encode(Ack(session=1, sequence=1)))
    assert bridge.link.publish(topics.device("d", "command"), b"identify")
    eventually(lambda: commands == [b"identify"])
    goes_on.set()
    eventually(lambda: sorted(message.track for message in bridge.kept.values()) == [0, 1, 2])
    eventually(lambda: device.spool.rows == 0)
    device.stop()
    bridge.link.stop()
