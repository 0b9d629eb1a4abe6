"""What the broker refuses, as the device's link, `doctor` and `status` say it; against a real mosquitto."""

import contextlib
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mqtt import complaint_file
from edge_agent.mqtt import link as link_module
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.presence import Presence
from edge_agent.mqtt.refusals import Refusals
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.settings import DeviceSettings, Settings
from edge_agent.tools import doctor
from edge_contract import topics
from edge_contract.messages import Info
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Link as ReleaseLink
from edge_mqtt import takeover
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.eventually import eventually

Serve = Callable[[bytes], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that answers every connection with these bytes and closes it; its port."""
    servers: list[socket.socket] = []

    def start(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def settings_of(tmp_path: Path, **broker: object) -> Settings:
    device = DeviceSettings(id="cam-1", state_dir=tmp_path / "state")
    return Settings(device=device, broker=BrokerSettings(**broker))  # type: ignore[arg-type]


@contextlib.contextmanager
def started(settings: BrokerSettings, client_id: str = "cam-1") -> Iterator[Link]:
    link = Link(settings, client_id, clean_start=True, jitter=lambda: 0.0)
    link.start()
    try:
        yield link
    finally:
        link.stop()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x20\x02\x00\x01", "does not speak MQTT 5"),
        (b"\x20\x03\x00\x84\x00", "does not speak MQTT 5"),
        (b"\x20\x03\x00\x86\x00", "does not know this user and password"),
        (b"\x20\x03\x00\x87\x00", "does not admit this account"),
        (b"\x20\x06\x00\x00\x03\x25\x00\x24\x00"[:8] + b"\x00", "without an answer in MQTT 5"),
        (b"\x20\x05\x00\x00\x02\x25\x00", "does not retain messages"),
        (b"\x20\x05\x00\x00\x02\x24\x00", "does not acknowledge messages"),
        (b"", "without an answer in MQTT 5"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "without an answer in MQTT 5"),
    ],
)
def test_a_refused_login_is_said_in_words_with_its_remedy(
    serve: Serve, tmp_path: Path, answer: bytes, words: str
) -> None:
    found = doctor.broker(settings_of(tmp_path, port=serve(answer)))
    assert found.outcome == "failed"
    assert words in found.text
    assert found.remedy


def test_a_wrong_password_at_a_real_broker(tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
    passwords = tmp_path / "passwords"
    subprocess.run([tool, "-b", "-c", passwords, "cam", "right"], check=True, capture_output=True)
    with Broker(tmp_path / "broker", extra=f"password_file {passwords}") as broker:
        right = settings_of(tmp_path, port=broker.port, username="cam", password="right")  # noqa: S106
        assert doctor.broker(right).outcome == "ok"
        wrong = doctor.broker(settings_of(tmp_path, port=broker.port, username="cam", password="hush"))  # noqa: S106
    assert wrong.outcome == "failed"
    assert "does not" in wrong.text
    assert "check user, password and certificate" in wrong.remedy
    assert "hush" not in wrong.text + wrong.remedy


@pytest.mark.parametrize(("extra", "words"), [("retain_available false", "retain"), ("max_qos 0", "acknowledge")])
def test_a_broker_that_cannot_retain_or_acknowledge_is_named(tmp_path: Path, extra: str, words: str) -> None:
    with Broker(tmp_path / "broker", extra=extra) as broker:
        found = doctor.broker(settings_of(tmp_path, port=broker.port))
        assert (found.outcome, words in found.text) == ("failed", True)
        with started(BrokerSettings(port=broker.port)) as link:
            eventually(lambda: words in link.complaint)
            assert link.connects == 0


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Broker]:
    """A broker whose rules refuse every publish but to `free`."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic write free\n")
    rules.chmod(0o600)
    with Broker(tmp_path / "broker", extra=f"acl_file {rules}") as broker:
        yield broker


def test_a_refused_message_is_logged_once_a_topic_and_said_until_it_is_taken(
    strict: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with started(BrokerSettings(port=strict.port)) as link:
        eventually(lambda: link.connected)
        for _ in range(5):
            assert link.publish("mine/telemetry", b"x")
            assert link.publish("free", b"x")
        eventually(lambda: link.complaint)
        assert link.publish("mine/info", b"x")
        eventually(lambda: "and 1 more topics" in link.complaint)
        said = link.complaint
        link.refusals.sent(9999, "mine/telemetry")
        link.refusals.answered(9999, 0)
        link.refusals.sent(9998, "mine/info")
        link.refusals.answered(9998, 16)  # no subscribers: taken all the same
        assert link.complaint == ""
    assert "refuses mine/telemetry" in said
    assert "cam-1 (a client without user and certificate)" in said
    assert "access rules" in said
    refused = [record for record in caplog.records if "refuses" in record.getMessage()]
    assert len(refused) == 2


def test_doctor_asks_the_broker_whether_this_device_may_write(strict: Broker, tmp_path: Path) -> None:
    found = doctor.broker(settings_of(tmp_path, port=strict.port))
    assert found.outcome == "failed"
    assert topics.device("cam-1", "need") in found.text
    assert "access rules" in found.remedy


def test_what_a_running_agent_finds_is_read_from_its_file(tmp_path: Path) -> None:
    assert complaint_file.read(tmp_path) == ""
    kept = complaint_file.ComplaintFile(tmp_path)
    kept.keep("the broker is\x1b[2J away; start it")
    assert complaint_file.read(tmp_path) == "the broker is [2J away; start it"
    kept.keep("")
    assert complaint_file.read(tmp_path) == ""
    complaint_file.ComplaintFile(tmp_path / "nowhere").keep("not written, and no error")


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.sampled_from([0, 16, 0x87, 0x97])), max_size=40))
def test_answers_find_their_topics_whichever_half_comes_first(steps: list[tuple[int, bool, int]]) -> None:
    refusals, expected = Refusals("me"), {}
    for number, answer_first, code in steps:
        topic = f"t/{number}"
        halves = [lambda: refusals.sent(number, topic), lambda: refusals.answered(number, code)]  # noqa: B023
        for half in reversed(halves) if answer_first else halves:
            half()
        expected[topic] = code >= 0x80
    assert bool(str(refusals)) is any(expected.values())


def test_two_devices_of_one_id_say_so_and_do_not_fight(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "reconnect_wait", lambda _failures, _jitter: 0.05)
    settings = BrokerSettings(port=broker.port)
    with started(settings, "raspberrypi") as first, started(settings, "raspberrypi") as second:
        pair = (first, second)
        eventually(lambda: any("another client came with the same id" in each.complaint for each in pair))
        connects = sum(each.connects for each in pair)
        eventually(lambda: first.connected != second.connected)  # one waits for a minute, and the other works
        assert any("give each its own id" in each.complaint for each in pair)
        time.sleep(0.5)
        assert sum(each.connects for each in pair) <= connects + 2


def test_two_devices_of_one_id_are_shown_to_the_release_side(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of them is there: each says in its availability that it was taken over."""
    monkeypatch.setattr(takeover, "FIRST_S", 0.2)
    address, made = BrokerSettings(port=broker.port), []
    for session in (5, 6):
        info = Info(
            device="twin", site="home", groups=(), session=session, started=float(session),
            agent="", board="", os="", python="", runtime="", camera="",
        )  # fmt: skip
        link = Link(address, "twin", clean_start=False, jitter=lambda: 0.0)
        link._on_connect = Presence(link, info, {}).publish_all
        made.append(link)

    def shown() -> bool:
        with ReleaseLink(BrokerAddress(port=broker.port)) as link:
            device = read_fleet(link).devices.get("twin")
        return device is not None and device.shares_id(time.time())

    made[0].start()
    eventually(lambda: made[0].connected)
    assert not shown()
    made[1].start()
    try:
        eventually(shown)
    finally:
        for link in made:
            link.stop()


def test_a_broker_that_says_who_took_over_is_believed_at_once(serve: Serve) -> None:
    with started(BrokerSettings(port=serve(b"\x20\x03\x00\x00\x00\xe0\x01\x8e"))) as link:
        eventually(lambda: "because another client came with the same id" in link.complaint)
        assert link.connects <= 1


def test_doctor_warns_of_a_name_that_every_fresh_board_has(broker: Broker, tmp_path: Path) -> None:
    device = DeviceSettings(id="raspberrypi", state_dir=tmp_path / "state")
    found = doctor.broker(Settings(device=device, broker=BrokerSettings(port=broker.port)))
    assert found.outcome == "warning"
    assert "set device.id" in found.remedy
