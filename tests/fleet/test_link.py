"""The release side's link against a real mosquitto: what it refuses, a restart, and others with the same identity."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract import topics
from edge_contract.errors import EdgewiseError
from edge_contract.messages import Need, encode
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.needs import FIRST_PAUSE_S, LONGEST_PAUSE_S, Needs
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.bridge.test_deploy import FleetBroker
from tests.eventually import PATIENCE_S, eventually
from tests.fleet.commands.test_release import TINY, Command


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Broker]:
    """A broker whose rules refuse every publish."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    rules.chmod(0o600)
    with Broker(tmp_path / "strict", extra=f"acl_file {rules}") as broker:
        yield broker


def test_push_and_heal_end_with_1_and_name_topic_and_identity_where_the_broker_refuses(
    tmp_path: Path, strict: Broker
) -> None:
    edgewise = Command(tmp_path, f"mqtt://me@127.0.0.1:{strict.port}")
    edgewise("keys", "init")
    edgewise("release", str(TINY))
    for arguments in (("push", "tiny", "1", "--group", "shop"), ("fleet", "heal")):
        result = edgewise.run(*arguments)
        assert isinstance(result.exception, EdgewiseError), result.output
        assert result.exception.exit_code == 1
        assert re.search(r"refuses edgewise/v1/(blob|trust)/", str(result.exception))
        assert "user 'me'" in str(result.exception)
        assert "access rules" in str(result.exception)
        assert "Published" not in result.output


@pytest.mark.parametrize(("extra", "words"), [("retain_available false", "retain"), ("max_qos 0", "acknowledge")])
def test_a_broker_that_cannot_do_what_is_needed_is_refused_at_once(tmp_path: Path, extra: str, words: str) -> None:
    with (
        Broker(tmp_path / "poor", extra=extra) as broker,
        pytest.raises(EdgewiseError, match=words),
        Link(BrokerAddress(port=broker.port)),
    ):
        pass


def test_messages_and_subscriptions_outlive_a_restart_of_the_broker(broker: Broker) -> None:
    seen: list[bytes] = []
    with Link(BrokerAddress(port=broker.port)) as link, Link(BrokerAddress(port=broker.port)) as other:
        link.subscribe("t/+", lambda arrived: seen.append(arrived.payload))
        broker.kill()
        broker.start()
        eventually(lambda: link.connects == 2 and other.connects == 2)
        eventually(lambda: other.publish([Arrived("t/1", b"x")], retain=False) and seen)
        assert link.retained("t/+") == {}


def test_who_listens_to_a_filter_goes_on_after_it_was_read_once(broker: Broker) -> None:
    topic, arrived = topics.device("cam-1", "info"), list[bytes]()
    with Link(BrokerAddress(port=broker.port)) as link:
        link.publish([Arrived(topic, b"before")])
        link.subscribe(topics.all_devices("info"), lambda message: arrived.append(message.payload))
        assert link.retained(topics.all_devices("info")) == {topic: b"before"}
        link.publish([Arrived(topic, b"after")])
        eventually(lambda: b"after" in arrived, "what is published after the reading")
        link.publish([Arrived(topic, b"")])


def test_two_commands_of_one_identity_end_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a broker makes client ids from certificates."""
    with Broker(tmp_path / "one", extra="use_username_as_clientid true") as broker:
        address = BrokerAddress(port=broker.port, username="edgewise-release", password="x")  # noqa: S106  # none asked
        said: list[str] = []

        def work() -> None:
            try:
                with Link(address) as link:
                    while not said:
                        link.publish([Arrived("t", b"x")])
                        link.retained("t")
            except EdgewiseError as error:
                said.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert "another client comes as user 'edgewise-release' too; run one such command at a time" in said[0]


def test_a_push_works_beside_a_healing_link_of_the_same_identity(tmp_path: Path) -> None:
    with Broker(tmp_path / "one", extra="use_username_as_clientid true") as broker:
        address = BrokerAddress(port=broker.port, username="edgewise-release", password="x")  # noqa: S106  # none asked
        with Link(address, patient=True) as staying:
            staying.publish([Arrived("t/1", b"x")])
            for number in range(3):
                with Link(address) as link:
                    assert link.publish([Arrived("t/2", b"%d" % number)]) == 1
                    assert link.retained("t/+") == {"t/1": b"x", "t/2": b"%d" % number}


def test_the_healing_certificate_of_the_sample_rules_may_do_what_healing_does(tmp_path: Path) -> None:
    (tmp_path / "mosquitto").mkdir()
    broker = FleetBroker(tmp_path / "mosquitto")
    try:
        certificate, key = broker.authority.issue("edgewise-heal")
        edgewise = Command(tmp_path, f"mqtts://127.0.0.1:{broker.port}")
        edgewise._environment |= {
            "EDGEWISE_BROKER_CA": str(broker.authority.certificate),
            "EDGEWISE_BROKER_CERTIFICATE": str(certificate),
            "EDGEWISE_BROKER_KEY": str(key),
        }
        edgewise("keys", "init")
        edgewise("release", str(TINY))
        edgewise("push", "tiny", "1", "--group", "shop")
        assert "Published 0 messages" in edgewise("fleet", "heal")
        refused = edgewise.run("fleet", "forget", "cam-1")  # not its business
        assert refused.exit_code != 0
    finally:
        broker.stop()


def test_heal_watch_answers_and_heals_after_a_restart_of_an_empty_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Broker(tmp_path / "forgetful", extra="persistence false") as broker:
        edgewise = Command(tmp_path, f"mqtt://127.0.0.1:{broker.port}")
        edgewise("keys", "init")
        edgewise("release", str(TINY))
        edgewise("push", "tiny", "1", "--group", "shop")
        script = (
            "import sys\nfrom edge_fleet import link\nlink.PATIENCE_S = (1, 1)\n"
            "from edge_fleet.cli import main\nsys.argv = ['edgewise', 'fleet', 'heal', '--watch']\nmain()\n"
        )
        environment = {
            **os.environ,
            "EDGEWISE_REPOSITORY": str(tmp_path / "fleet"),
            "EDGEWISE_BROKER": f"mqtt://127.0.0.1:{broker.port}",
        }
        with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as healing:
            try:
                assert healing.stdout is not None
                assert b"Published" in healing.stdout.readline()
                broker.kill()
                broker.start()
                address = BrokerAddress(port=broker.port)
                with Link(address) as link:
                    state = topics.group_desired("shop")
                    eventually(lambda: state in link.retained(f"{topics.PREFIX}/group/+/desired"))
                    (digest,) = {topic.split("/")[3] for topic in link.retained(f"{topics.PREFIX}/blob/+/0")} & {
                        _digest()
                    }
                    chunk = topics.blob(digest, 0)
                    link.publish([Arrived(chunk, b"")])
                    need = encode(Need.of("cam-1", digest, [0]))
                    link.publish([Arrived(topics.device("cam-1", "need"), need)])
                    eventually(lambda: link.retained(chunk))
                assert healing.poll() is None
            finally:
                healing.send_signal(signal.SIGTERM)


def _digest() -> str:
    from edge_contract.package import read_file  # noqa: PLC0415

    return read_file(TINY).manifest.digest


def test_forget_takes_a_device_out_of_home_assistant_too(tmp_path: Path, broker: Broker) -> None:
    from edge_contract.messages import Availability  # noqa: PLC0415

    edgewise = Command(tmp_path, f"mqtt://127.0.0.1:{broker.port}")
    with Link(BrokerAddress(port=broker.port)) as link:
        gone = encode(Availability(state="stopped", session=1))
        link.publish([
            Arrived(topics.device("cam-1", "availability"), gone),
            Arrived("ha/device/edgewise-cam-1/config", b"{}"),
            Arrived("ha/device/edgewise-cam-2/config", b"{}"),
        ])  # fmt: skip
        edgewise("fleet", "forget", "cam-1")
        assert set(link.retained("ha/#")) == {"ha/device/edgewise-cam-2/config"}


# --- what devices ask for -------------------------------------------------------------------------------------------
def test_a_chunk_that_is_asked_for_again_and_again_is_published_ever_less_often() -> None:
    now = [0.0]
    needs = Needs(lambda: now[0])
    times = []
    while now[0] < 86_400:
        if needs.due("d", [7]):
            times.append(now[0])
        now[0] += 1.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert len(times) < 40
    assert needs.due("d", [7, 8, 9]) == [8, 9]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2 * LONGEST_PAUSE_S)), max_size=60))
def test_no_chunk_is_published_twice_within_the_first_pause(asked: list[tuple[int, float]]) -> None:
    now, last = 0.0, {}
    needs = Needs(lambda: now)
    for chunk, later in asked:
        now += later
        for due in needs.due("d", [chunk]):
            assert now - last.get(due, -FIRST_PAUSE_S) >= FIRST_PAUSE_S
            last[due] = now
