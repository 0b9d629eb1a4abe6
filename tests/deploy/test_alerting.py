"""From a broken connection to the webhook, through every real part; and what holds back what."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo.alert_receiver import AlertReceiver
from edge_contract import messages
from edge_contract.messages import Availability
from edge_simulator.broker import free_port
from tests.bridge.publisher import Publisher, telemetry
from tests.deploy.conftest import Standing
from tests.eventually import eventually

ALERTMANAGER = Path(__file__).resolve().parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
pytestmark = pytest.mark.xdist_group("watching")
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not installed (apt-get install prometheus-alertmanager)"
)


def _fire(standing: Standing, *alerts: Mapping[str, str]) -> None:
    """Give Alertmanager alerts as Prometheus would."""
    body = json.dumps([{"labels": dict(each), "annotations": {"summary": "A test."}} for each in alerts]).encode()
    request = urllib.request.Request(  # noqa: S310  # 127.0.0.1
        standing.watching.url("alertmanager", "/api/v2/alerts"), body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def _firing(standing: Standing, name: str, **labels: str) -> list[dict[str, str]]:
    """What Prometheus itself says of an alert: its label values and since when it holds."""
    answer = json.loads(standing.watching.get("prometheus", "/api/v1/alerts") or b"{}")
    return [
        {**each["labels"], "since": each["activeAt"]}
        for each in answer.get("data", {}).get("alerts", [])
        if each["state"] == "firing"
        and each["labels"]["alertname"] == name
        and labels.items() <= each["labels"].items()
    ]


def test_a_broken_connection_reaches_the_webhook_outlives_reloads_and_is_resolved_when_the_device_is_back(
    standing: Standing,
) -> None:
    port, session = standing.watching.ports["broker"], int(time.time())
    first = Publisher(port, "cam-lost", session)
    first.say_hello()
    first.send(telemetry("cam-lost", (session, 1), 150), "telemetry")
    first.wait_for_ack((session, 1))
    first.drop()
    fired = standing.alert(lambda each: each.labels.get("device") == "cam-lost" and each.name == "DeviceDown")
    assert (fired.status, fired.receiver, fired.labels["severity"]) == ("firing", "team", "warning")
    assert dict(fired.group) == {"alertname": "DeviceDown", "site": "home"}
    assert fired.annotations["summary"] == "cam-lost at home is down."
    assert "cam-lost" in fired.annotations["description"]

    (before,) = _firing(standing, "DeviceDown", device="cam-lost")
    for part in ("prometheus", "alertmanager"):
        standing.watching.reload(part)
    eventually(lambda: b"completed" in _log(standing, "prometheus").lower().split(b"loading configuration file")[-1])
    eventually(lambda: _log(standing, "alertmanager").count(b"Completed loading of configuration file") == 2)
    assert _firing(standing, "DeviceDown", device="cam-lost") == [before]

    with Publisher(port, "cam-lost", session + 1) as second:
        second.say_hello()
        over = standing.alert(lambda each: each.labels.get("device") == "cam-lost" and each.status == "resolved")
    assert over.name == "DeviceDown"


def _log(standing: Standing, part: str) -> bytes:
    return standing.watching.processes.log(part).read_bytes()


def test_a_device_that_stops_in_order_is_not_down(standing: Standing) -> None:
    session = int(time.time())
    with Publisher(standing.watching.ports["broker"], "cam-stopped", session) as device:
        device.say_hello()
        device.send(telemetry("cam-stopped", (session, 1), 150), "telemetry")
        device.wait_for_ack((session, 1))
        goodbye = messages.encode(Availability(state="stopped", session=session))
        device.send_bytes(goodbye, "availability", retain=True)
        eventually(lambda: _firing(standing, "DeviceStopped", device="cam-stopped"))
    assert _firing(standing, "DeviceDown", device="cam-stopped") == []


def test_the_watchdog_goes_to_the_switch_and_goes_on(standing: Standing) -> None:
    assert standing.alert(lambda each: each.name == "Watchdog").receiver == "dead-mans-switch"


def test_a_thousand_lost_devices_are_one_message_to_the_pager(standing: Standing) -> None:
    down = [
        {"alertname": "DeviceDown", "severity": "warning", "site": f"s-{n}", "device": f"d-{n}"} for n in range(1000)
    ]
    _fire(standing, {"alertname": "FleetDown", "severity": "critical"}, *down)
    _fire(standing, {"alertname": "RolloutHalted", "severity": "warning", "group": "the last"})
    standing.alert(lambda each: each.labels.get("group") == "the last")
    assert standing.alert(lambda each: each.name == "FleetDown").receiver == "pager"
    assert [each for each in standing.arrived if each.labels.get("device", "").startswith("d-")] == []


@pytest.mark.parametrize(
    ("cause", "held_back"),
    [
        ({"alertname": "BridgeDisconnected"}, {"alertname": "DeviceDown", "site": "x1", "device": "y"}),
        ({"alertname": "BridgeDown"}, {"alertname": "SiteDown", "site": "x2"}),
        ({"alertname": "DatabaseNotWritable"}, {"alertname": "SpoolGrowing", "site": "x3", "device": "y"}),
        ({"alertname": "SiteDown", "site": "x4"}, {"alertname": "DeviceDown", "site": "x4", "device": "y"}),
        (
            {"alertname": "DeviceDown", "site": "x5", "device": "y"},
            {"alertname": "DeviceThrottled", "site": "x5", "device": "y"},
        ),
        (
            {"alertname": "CameraFrozen", "site": "x6", "device": "y"},
            {"alertname": "Drift", "site": "x6", "device": "y", "model": "m-1"},
        ),
        (
            {"alertname": "FleetDrift", "model": "m-7"},
            {"alertname": "Drift", "site": "x7", "device": "y", "model": "m-7"},
        ),
        (
            {"alertname": "TrustExpiring", "site": "x8", "device": "y", "severity": "critical"},
            {"alertname": "TrustExpiring", "site": "x8", "device": "y", "severity": "warning"},
        ),
    ],
    ids=lambda value: value["alertname"],
)
@needs_amtool
def test_a_cause_holds_back_what_it_brings_about(
    standing: Standing, cause: dict[str, str], held_back: dict[str, str]
) -> None:
    _fire(standing, {"severity": "critical", **cause}, {"severity": "warning", **held_back})
    state = {}

    def inhibited() -> bool:
        matchers = [f"{name}={value}" for name, value in held_back.items() if name != "severity"]
        said = json.loads(_amtool(standing, "alert", "query", "--inhibited", "--output=json", *matchers))
        state["said"] = said
        return any(each["labels"] == {"severity": "warning", **held_back} for each in said)

    eventually(inhibited, lambda: str(state))
    _fire_over(standing, cause, held_back)


def _fire_over(standing: Standing, *alerts: Mapping[str, str]) -> None:
    """End them: the next test's must not be held back by these."""
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    body = json.dumps(
        [{"labels": {"severity": s, **each}, "endsAt": ended} for each in alerts for s in ("critical", "warning")]
    ).encode()
    request = urllib.request.Request(  # noqa: S310  # 127.0.0.1
        standing.watching.url("alertmanager", "/api/v2/alerts"), body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def _amtool(standing: Standing, *arguments: str) -> str:
    url = standing.watching.url("alertmanager")
    done = subprocess.run(
        ["amtool", *arguments, f"--alertmanager.url={url}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_amtool
def test_amtool_accepts_the_routes_and_they_lead_where_their_severity_says() -> None:
    checked = subprocess.run(["amtool", "check-config", ALERTMANAGER], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for labels, receiver in (
        (("alertname=SiteDown", "severity=critical", "site=a"), "pager"),
        (("alertname=DeviceDown", "severity=warning", "site=a"), "team"),
        (("alertname=DeviceStopped", "severity=info", "site=a"), "log"),
        (("alertname=Watchdog", "severity=none"), "dead-mans-switch"),
    ):
        found = subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == receiver


def test_no_secret_stands_in_the_configuration() -> None:
    live = [line for line in ALERTMANAGER.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in live if "credentials:" in line or "password:" in line]
    assert any("credentials_file: webhook-token" in line for line in live)


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [("wrong", b"{}", 401), ("right", b"no json", 400), ("right", b'{"alerts": 1}', 400), ("right", b"[" * 5000, 400)],
)
def test_a_webhook_without_the_token_or_that_is_no_notification_is_refused(
    token: str, body: bytes, status: int
) -> None:
    port, taken = free_port(), []
    with AlertReceiver(port, "right", taken.append):
        request = urllib.request.Request(  # 127.0.0.1
            f"http://127.0.0.1:{port}/", body, {"Authorization": f"Bearer {token}"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310
    assert refused.value.code == status
    assert taken == []
