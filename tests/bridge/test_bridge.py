"""The bridge as a process, beside a real mosquitto: what it stores, acknowledges, refuses and survives."""

import http.client
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_bridge.storage.store import Store
from edge_contract import limits, messages, topics
from edge_contract.messages import Key
from edge_simulator.broker import Broker, free_port
from tests.bridge.conftest import Standing
from tests.bridge.process import REPOSITORY, BridgeProcess
from tests.bridge.publisher import Publisher, prediction, telemetry
from tests.eventually import eventually


def _value(text: str, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


def _stored(database: str, device: str) -> list[Key]:
    store = Store(database)
    logged = [each.message for each in store.recent(1_000_000)]
    store.close()
    found = [(each.session, each.sequence) for each in logged if each.device == device]
    return sorted(found)


@pytest.fixture
def device(broker: Broker) -> Iterator[Publisher]:
    """A connected device, `cam-1`, that has said hello."""
    with Publisher(broker.port, "cam-1", 1000) as connected:
        connected.say_hello()
        yield connected


def test_what_a_device_says_is_stored_acknowledged_and_shown(standing: Standing) -> None:
    with Publisher(standing.broker.port, "cam-said", 1000) as device:
        device.say_hello()
        device.send(telemetry("cam-said", (1000, 1), 150, site="said"), "telemetry")
        device.send(prediction("cam-said", (1000, 2), oldest=(1000, 1)), "prediction")
        device.wait_for_ack((1000, 2))
        assert _stored(standing.bridge.database, "cam-said") == [(1000, 2)]
        text = standing.bridge.metrics()
    assert _value(text, "edgewise_up", device="cam-said", site="said") == 1
    assert _value(text, "edgewise_frames_total", device="cam-said") == 150
    assert _value(text, "edgewise_stage_duration_seconds_count", stage="whole", model="emotion-2", site="said") == 150
    assert _value(text, "edgewise_bridge_broker_connected") == 1


def test_what_was_sent_before_the_bridge_existed_is_still_told_by_retained_state(
    broker: Broker, device: Publisher, tmp_path: Path
) -> None:
    with BridgeProcess(tmp_path, broker.port) as bridge:
        bridge.wait_for("/metrics", 'edgewise_up{site="home",device="cam-1"} 1')
        bridge.wait_for("/metrics", 'edgewise_device_model_info{site="home",device="cam-1",model="emotion-2"')


def test_a_device_that_vanishes_is_down_by_its_last_will(standing: Standing) -> None:
    device = Publisher(standing.broker.port, "cam-gone", 1000)
    device.say_hello()
    standing.bridge.wait_for("/metrics", 'edgewise_up{site="home",device="cam-gone"} 1')
    device.drop()
    standing.bridge.wait_for("/metrics", 'edgewise_up{site="home",device="cam-gone"} 0')


@pytest.fixture(scope="module")
def guarded(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    config = 'hosts = ["fleet.example.org"]\n[broker]\nclient_id = "guarded"\n'
    with BridgeProcess(tmp_path_factory.mktemp("guarded"), standing.broker.port, config=config) as bridge:
        yield bridge


def test_a_forgotten_device_is_gone_for_good_and_what_it_counted_stays(broker: Broker, tmp_path: Path) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    forget = [sys.executable, "-c", "from edge_fleet.cli import main; main()", "fleet", "forget", "cam-old"]
    forget += ["--broker", address]
    with BridgeProcess(tmp_path, broker.port) as bridge:
        device = Publisher(broker.port, "cam-old", 1000)
        device.say_hello()
        device.send(telemetry("cam-old", (1000, 1), 150), "telemetry")
        device.wait_for_ack((1000, 1))
        bridge.wait_for("/metrics", 'edgewise_up{site="home",device="cam-old"} 1')
        refused = subprocess.run(forget, capture_output=True, text=True, check=False)
        assert (refused.returncode, "stop its agent first" in refused.stderr) == (2, True), refused.stderr
        device.drop()
        bridge.wait_for("/metrics", 'edgewise_up{site="home",device="cam-old"} 0')
        pattern = [*forget[:-3], "cam-o*", *forget[-2:]]
        asked = subprocess.run([*pattern, "--json"], capture_output=True, text=True, check=False)
        assert (asked.returncode, "give --yes" in asked.stderr) == (2, True), asked.stderr
        no = subprocess.run(pattern, input="n\n", capture_output=True, text=True, check=False)
        assert (no.returncode, "cam-old" in no.stdout, no.stderr) == (2, True, "edgewise: nothing was forgotten.\n")
        subprocess.run([*pattern, "--yes"], check=True)
        eventually(lambda: "cam-old" not in bridge.metrics())
        text = bridge.metrics()
        assert "edgewise_bridge_messages_refused_total{" not in text
        assert _value(text, "edgewise_stage_duration_seconds_count", stage="whole", site="home") == 150
    with BridgeProcess(tmp_path, broker.port) as again:  # neither the broker nor the database tells of it
        again.wait_for("/metrics", "edgewise_bridge_broker_connected 1")
        assert "cam-old" not in again.metrics()
        assert _value(again.metrics(), "edgewise_stage_duration_seconds_count", stage="whole", site="home") == 150
    unknown = subprocess.run(forget, capture_output=True, text=True, check=False)
    assert (unknown.returncode, "no device cam-old is known" in unknown.stderr) == (2, True), unknown.stderr


def test_a_gap_is_not_acknowledged_until_it_is_filled(standing: Standing) -> None:
    with Publisher(standing.broker.port, "cam-gap", 1000) as device:
        device.send(prediction("cam-gap", (1000, 1)), "prediction")
        device.send(prediction("cam-gap", (1000, 3), oldest=(1000, 1)), "prediction")
        device.wait_for_ack((1000, 1))
        while len(_stored(standing.bridge.database, "cam-gap")) < 2:
            pass
        assert max(device.acks) == (1000, 1)
        device.send(telemetry("cam-gap", (1000, 2), 10, oldest=(1000, 1)), "telemetry")
        device.wait_for_ack((1000, 3))


_UNUSABLE: tuple[tuple[str, topics.DeviceLeaf, bytes], ...] = (
    ("malformed", "telemetry", b"{"),
    ("malformed", "prediction", b"\xff\xfe\x00"),
    ("malformed", "prediction", b'{"session":1000,"sequence":1,"oldest":[1000,1]}'),
    ("malformed", "prediction", messages.encode(prediction("cam-1", (1000, 1), label="\0"))),
    ("malformed", "info", b"[" * 100_000),
    ("empty", "telemetry", b""),
    ("size", "reported", b" " * (limits.MESSAGE_BYTES + 1)),
    ("device-mismatch", "prediction", messages.encode(prediction("cam-2", (1000, 1)))),
    ("shape", "telemetry", messages.encode(telemetry("cam-1", (1000, 1), 1)).replace(b'"counts":[0,', b'"counts":[')),
)


def test_what_cannot_be_used_is_counted_by_reason_and_holds_up_nothing(
    bridge: BridgeProcess, device: Publisher
) -> None:
    for _, leaf, payload in _UNUSABLE:
        device.send_bytes(payload, leaf)
    # One of them could be read as far as its key, (1000, 1), so it counts as done and holds nothing back.
    device.send(prediction("cam-1", (1000, 2), oldest=(1000, 1)), "prediction")
    device.wait_for_ack((1000, 2))
    for reason, count in Counter(reason for reason, _, _ in _UNUSABLE).items():
        assert f'edgewise_bridge_messages_refused_total{{reason="{reason}"}} {count}.0' in bridge.metrics()
    assert bridge.get("/-/healthy")[0] == 200


@pytest.mark.timeout(300)  # three starts of the bridge, which take long on a busy machine
def test_killed_in_the_middle_of_a_stream_nothing_is_missing_and_nothing_twice(
    broker: Broker, tmp_path: Path, database: str
) -> None:
    """A device sends 400 messages and repeats what is not acknowledged; the bridge dies twice meanwhile."""
    bridge = BridgeProcess(tmp_path, broker.port, database=database).start()
    last = 400
    with Publisher(broker.port, "cam-1", 1000) as device:
        device.say_hello()
        done = threading.Event()

        def deliver() -> None:
            """What the agent does: a window of messages at a time, again from the oldest when no answer comes."""
            while not done.is_set():
                first = max(device.acks, default=(1000, 0))[1] + 1
                for sequence in range(first, min(first + 40, last + 1)):
                    key, oldest = (1000, sequence), (1000, first)
                    if sequence % 5 == 0:
                        device.send(telemetry("cam-1", key, sequence * 10, oldest=oldest), "telemetry")
                    else:
                        device.send(prediction("cam-1", key, oldest=oldest), "prediction")
                done.wait(0.1)

        sender = threading.Thread(target=deliver)
        sender.start()
        try:
            for acknowledged in (80, 240):
                device.wait_for_ack((1000, acknowledged))
                bridge.kill()
                bridge.start()
            device.wait_for_ack((1000, last))
        finally:
            done.set()
            sender.join()
        bridge.wait_for("/metrics", 'edgewise_frames_total{site="home",device="cam-1"} 4000')
        text = bridge.metrics()
        assert bridge.stop() == 0
    assert _stored(database, "cam-1") == [(1000, each) for each in range(1, last + 1) if each % 5]
    assert _value(text, "edgewise_stage_duration_seconds_count", stage="whole", model="emotion-2") == 4000


def test_a_restarted_bridge_goes_on_counting_where_it_was(
    bridge: BridgeProcess, broker: Broker, device: Publisher
) -> None:
    device.send(telemetry("cam-1", (1000, 1), 150), "telemetry")
    device.wait_for_ack((1000, 1))
    assert bridge.stop() == 0
    device.send(telemetry("cam-1", (1000, 2), 250, oldest=(1000, 1)), "telemetry")
    bridge.start()
    device.wait_for_ack((1000, 2))
    bridge.wait_for("/metrics", 'edgewise_frames_total{site="home",device="cam-1"} 250')
    assert _value(bridge.metrics(), "edgewise_stage_duration_seconds_count", stage="whole") == 250


def test_a_broker_that_goes_away_makes_the_bridge_unready_and_comes_back(
    bridge: BridgeProcess, broker: Broker, tmp_path: Path
) -> None:
    broker.kill()
    while bridge.get("/-/ready")[0] != 503:
        pass
    assert bridge.get("/-/ready")[1] == "broker connected: no\ndatabase writable: yes\n"
    assert bridge.get("/-/healthy")[0] == 200
    broker.start()
    bridge.wait_for("/-/ready", "broker connected: yes")
    with Publisher(broker.port, "cam-1", 1000) as device:
        device.send(prediction("cam-1", (1000, 1)), "prediction")
        device.wait_for_ack((1000, 1))


def test_a_locked_database_delays_acknowledgements_and_loses_nothing(
    broker: Broker, device: Publisher, bridge: BridgeProcess
) -> None:
    holder = sqlite3.connect(bridge.database.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    device.send(telemetry("cam-1", (1000, 1), 150), "telemetry")
    device.send(prediction("cam-1", (1000, 2), oldest=(1000, 1)), "prediction")
    bridge.wait_for(
        "/metrics", 'edgewise_frames_per_second{site="home",device="cam-1"} 14.9'
    )  # what is measured goes on
    assert "edgewise_frames_total{" not in bridge.metrics()  # what is counted is shown when it is stored
    assert device.acks == []
    holder.execute("ROLLBACK")
    holder.close()
    device.wait_for_ack((1000, 2))
    assert _stored(bridge.database, "cam-1") == [(1000, 2)]


def test_a_persistent_session_keeps_what_arrives_while_the_bridge_is_away(
    bridge: BridgeProcess, device: Publisher
) -> None:
    bridge.kill()
    device.send(prediction("cam-1", (1000, 1)), "prediction")
    bridge.start()
    device.wait_for_ack((1000, 1))


def test_the_fleet_is_limited_and_a_device_past_it_keeps_its_messages(broker: Broker, tmp_path: Path) -> None:
    with (
        BridgeProcess(tmp_path, broker.port, config="[limits]\ndevices = 1\n") as bridge,
        Publisher(broker.port, "cam-1", 1) as first,
        Publisher(broker.port, "cam-2", 1) as second,
    ):
        first.send(prediction("cam-1", (1, 1)), "prediction")
        first.wait_for_ack((1, 1))
        second.send(prediction("cam-2", (1, 1)), "prediction")
        bridge.wait_for("/metrics", 'edgewise_bridge_messages_refused_total{reason="device-limit"} 1.0')
        assert second.acks == []
        assert "cam-2" not in bridge.metrics()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_before_the_first_request_could_is_not_lost(
    broker: Broker, tmp_path: Path, number: signal.Signals
) -> None:
    where = ("--broker", f"mqtt://127.0.0.1:{broker.port}", "--listen", f"127.0.0.1:{free_port()}")
    command = [sys.executable, "-m", "edge_bridge.cli", "run", *where, "--database", f"sqlite:///{tmp_path / 'p.db'}"]
    running = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        assert any("dashboard http" in line for line in running.stderr)
        running.send_signal(number)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/-/healthy", {}, 200),
        ("HEAD", "/-/healthy", {}, 200),
        ("HEAD", "/-/ready", {}, 200),
        ("HEAD", "/metrics", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/metrics", {"Host": "bridge:9108"}, 200),
        ("GET", "/metrics", {"Host": "[::1]:9108"}, 200),
        ("GET", "/metrics", {"Host": "192.168.1.7"}, 200),
        ("GET", "/metrics", {"Host": "fleet.example.org:443"}, 200),
        ("GET", "/metrics", {"Host": "evil.example.com"}, 421),
        ("GET", "/", {"Host": "evil.example.com"}, 421),
        ("HEAD", "/", {"Host": "127.0.0.1.example.com"}, 421),
        ("GET", "/", {"Host": "bridge:9108", "Origin": "http://bridge:9108"}, 200),
        ("GET", "/metrics", {"Origin": "https://evil.example.com"}, 403),
        ("GET", "/metrics", {"Origin": "null"}, 403),
    ],
)
def test_who_may_ask_and_how(
    guarded: BridgeProcess, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    assert (answer.status, method == "HEAD" and body != b"") == (status, False), body
    connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example.com", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_opens_no_socket(guarded: BridgeProcess, origin: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": origin,
    }  # fmt: skip
    connection.request("GET", "/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers=upgrade)
    assert connection.getresponse().status == 403
    connection.close()
