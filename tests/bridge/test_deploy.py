"""The sample configurations run as they are: the real mosquitto holds its rules, the real Prometheus scrapes."""

import contextlib
import getpass
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from edge_bridge.storage.store import Store
from edge_simulator.broker import free_port
from tests.bridge.certificates import Authority
from tests.bridge.conftest import Standing
from tests.bridge.process import REPOSITORY, BridgeProcess
from tests.bridge.publisher import MODEL, Publisher, prediction, telemetry

DEPLOY = REPOSITORY / "deploy"
_INSTALLED = "/etc/mosquitto/edgewise"


class FleetBroker:
    """mosquitto with the sample configuration; only paths, port, user and where it logs are this machine's."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "edgewise")
        self.authority.issue("127.0.0.1", "broker")
        shutil.copy(DEPLOY / "mosquitto" / "acl", folder / "edgewise" / "acl")
        (folder / "edgewise" / "acl").chmod(0o600)
        self.port = free_port()
        text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        for there, here in (
            (_INSTALLED, str(folder / "edgewise")),
            ("/var/lib/mosquitto/", f"{folder}/"),
            ("listener 8883", f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1"),
            ("log_dest syslog", f"log_dest file {folder / 'log'}"),
        ):
            assert there in text
            text = text.replace(there, here)
        (folder / "mosquitto.conf").write_text(text)
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")
        assert program is not None
        self.process = subprocess.Popen([program, "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)

    def device(self, name: str, **changed: str) -> Publisher:
        """A device with a certificate of this name."""
        return Publisher(self.port, name, 1000, tls=self.authority.context(name), **changed)


@pytest.fixture
def fleet_broker(tmp_path: Path) -> Iterator[FleetBroker]:
    """The sample broker, running."""
    (tmp_path / "mosquitto").mkdir()
    running = FleetBroker(tmp_path / "mosquitto")
    yield running
    running.stop()


@pytest.fixture
def secure_bridge(fleet_broker: FleetBroker, tmp_path: Path) -> Iterator[BridgeProcess]:
    """A bridge that connects with TLS and its own certificate."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    certificate, key = fleet_broker.authority.issue("edgewise-bridge")
    config = f'[broker]\nca = "{fleet_broker.authority.certificate}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with BridgeProcess(folder, fleet_broker.port, config=config, scheme="mqtts") as running:
        yield running


def test_a_device_speaks_for_itself_only_and_is_acknowledged_over_tls(
    fleet_broker: FleetBroker, secure_bridge: BridgeProcess
) -> None:
    with fleet_broker.device("cam-1") as honest, fleet_broker.device("cam-2") as nosy:
        nosy.device = "cam-1"  # says what cam-1 would say, with cam-2's certificate
        nosy.say_hello()
        nosy.send(prediction("cam-1", (1000, 1), label="sad"), "prediction")
        nosy.device = "cam-2"
        nosy.send(prediction("cam-2", (1000, 1)), "prediction")
        nosy.wait_for_ack((1000, 1))
        honest.say_hello()
        honest.send(prediction("cam-1", (1000, 1)), "prediction")
        honest.send(telemetry("cam-1", (1000, 2), 10, oldest=(1000, 1)), "telemetry")
        honest.wait_for_ack((1000, 2))
        store = Store(secure_bridge.database)
        assert sorted((each.message.device, each.message.label) for each in store.recent(9)) == [
            ("cam-1", "happy"),
            ("cam-2", "happy"),
        ]
        store.close()


def test_a_device_that_takes_anothers_client_id_does_not_disconnect_it(fleet_broker: FleetBroker) -> None:
    with fleet_broker.device("cam-1") as first, fleet_broker.device("cam-2", client_id="cam-1") as second:
        time.sleep(0.3)
        assert (first.connected, second.connected) == (True, True)


@pytest.mark.parametrize("who", ["nobody", "a stranger"])
def test_without_a_certificate_of_the_fleet_there_is_no_connection(
    fleet_broker: FleetBroker, tmp_path: Path, who: str
) -> None:
    stranger = Authority(tmp_path / "stranger")
    context = stranger.context(None if who == "nobody" else "cam-1", trusting=fleet_broker.authority)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "cam-1", protocol=mqtt.MQTTv5)
    client.tls_set_context(context)
    reasons: list[object] = []
    client.on_connect = lambda *given: reasons.append(given)
    try:
        client.connect("127.0.0.1", fleet_broker.port)
        for _ in range(20):
            client.loop(0.1)
    except OSError:
        pass  # TLS 1.2 refuses in the handshake; with 1.3 the connection breaks after it
    assert reasons == []
    assert not client.is_connected()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
def test_promtool_accepts_the_sample_configuration() -> None:
    checked = subprocess.run(
        ["promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "warning" not in (checked.stdout + checked.stderr).lower()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_prometheus_scrapes_the_bridge_with_the_sample_configuration(standing: Standing, tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:9108", f"127.0.0.1:{standing.bridge.port}").replace("interval: 10s", "interval: 1s")
    (tmp_path / "prometheus.yml").write_text(text.replace("timeout: 8s", "timeout: 1s"))
    port = free_port()
    arguments = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    arguments += ["--enable-feature=exemplar-storage"]
    with Publisher(standing.broker.port, "cam-scraped", 1000) as device, (tmp_path / "log").open("wb") as log:
        device.say_hello()
        device.send(telemetry("cam-scraped", (1000, 1), 150, site="scraped"), "telemetry")
        device.send(prediction("cam-scraped", (1000, 2), oldest=(1000, 1), site="scraped"), "prediction")
        server = subprocess.Popen(
            ["prometheus", *arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            assert _asked(port, "edgewise_frames_total{site='scraped'}") == [
                ({"device": "cam-scraped", "site": "scraped"}, "150")
            ]
            whole = "edgewise_stage_duration_seconds_bucket{site='scraped',stage='whole'}"
            ((_, p50),) = _asked(port, f"histogram_quantile(0.5, sum by (le) ({whole}))")
            assert float(p50) == pytest.approx(0.004)
            confidence = urllib.request.quote("edgewise_confidence_ratio_bucket{site='scraped'}")
            url = f"http://127.0.0.1:{port}/api/v1/query_exemplars?query={confidence}&start=0&end={time.time() + 60}"
            with urllib.request.urlopen(url, timeout=5) as response:
                (found,) = json.load(response)["data"]
            assert found["exemplars"][0]["labels"] == {"digest": MODEL.digest}
            assert float(found["exemplars"][0]["value"]) == 0.93
        finally:
            server.terminate()
            server.wait(20)


def _asked(port: int, query: str) -> list[tuple[dict[str, str], str]]:
    """Labels (without the scrape's own) and value of every series, once there is one."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                result = json.load(response)["data"]["result"]
        except OSError:
            result = []
        if result:
            own = {"__name__", "instance", "job"}
            return [({k: v for k, v in each["metric"].items() if k not in own}, each["value"][1]) for each in result]
        time.sleep(0.1)
    raise AssertionError(f"no series for {query}")
