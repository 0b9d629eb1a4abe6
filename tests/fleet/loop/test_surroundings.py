"""What a loop stands between: the broker's rules as shipped, and a real Alertmanager with the page's settings."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge_contract import topics
from edge_contract.errors import EdgewiseError
from edge_contract.loop_status import LoopStatus
from edge_contract.messages import encode
from edge_fleet.link import Arrived, Link
from edge_fleet.loop.receiver import Receiver
from edge_fleet.loop.store import LoopStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import free_port
from tests.bridge.test_deploy import FleetBroker
from tests.eventually import eventually
from tests.fleet.loop.test_alerts import LABELS
from tests.fleet.loop.test_receiver import TOKEN

PAGE = Path(__file__).resolve().parents[3] / "docs" / "loop.md"
PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


def test_on_the_broker_a_loop_says_how_it_stands_and_reads_what_a_rollout_is_checked_against(tmp_path: Path) -> None:
    broker = FleetBroker(tmp_path / "mosquitto")
    try:

        def address(name: str) -> BrokerAddress:
            certificate, key = broker.authority.issue(name)
            return BrokerAddress(
                port=broker.port, tls=True, ca=broker.authority.certificate, certificate=certificate, key=key
            )

        read = [
            topics.trust("index.json"), topics.group_desired("lab"), topics.device("cam-1", "desired"),
            topics.device("cam-1", "availability"), topics.device("cam-1", "info"), topics.device("cam-1", "reported"),
        ]  # fmt: skip
        status = Arrived(topics.loop_status("tiny"), encode(LoopStatus(model="tiny", time=1.0)))
        with Link(address("edgewise-release")) as release, Link(address("edgewise-loop")) as loop:
            release.publish(Arrived(topic, b"{}") for topic in read)
            loop.publish([status])
            for topic in (*read, status.topic):
                assert loop.retained(topic), topic
            for topic in read:
                with pytest.raises(EdgewiseError, match="refuses"):
                    loop.publish([Arrived(topic, b"x")])
            with Link(address("edgewise-bridge")) as bridge:
                assert bridge.retained(f"{topics.PREFIX}/loop/+/status") == {status.topic: status.payload}
    finally:
        broker.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """One with the routes of the page, without patience; its port, and that of the loop's webhook."""
    if PROGRAM is None:
        pytest.skip("Alertmanager is not installed (apt-get install prometheus-alertmanager)")
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    here, webhook = free_port(), free_port()
    shown = yaml.safe_load(found[1].replace("127.0.0.1:9110", f"127.0.0.1:{webhook}"))
    shown["route"] |= {"receiver": "loop", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(shown))
    (tmp_path / "loop-token").write_text(TOKEN)
    command = [
        PROGRAM, f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{here}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield here, webhook
        process.terminate()


def test_a_real_alertmanager_brings_alerts_and_says_when_they_are_over(
    alertmanager: tuple[int, int], tmp_path: Path
) -> None:
    port, webhook = alertmanager
    said: list[str] = []

    def fire(ends: str = "") -> bool:
        alerts = [{"labels": LABELS | {"device": name}, **({"endsAt": ends} if ends else {})} for name in ("a", "b")]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()  # noqa: S310  # 127.0.0.1
        except OSError:
            return False
        return True

    with (
        LoopStore(tmp_path) as store,
        Receiver(("127.0.0.1", webhook), TOKEN, "emotion", store, said.append),
    ):
        eventually(fire, "Alertmanager answers")

        def firing() -> set[str]:
            return {each.alert.device for each in store.firing("emotion", time.time())}

        eventually(lambda: firing() == {"a", "b"}, lambda: f"{said} {(tmp_path / 'log').read_text()}")
        fire(ends="2026-01-01T00:00:00Z")
        eventually(lambda: firing() == set(), "they are over")
    assert said == []
