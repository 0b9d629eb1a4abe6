"""A board that slows itself down is one fact: on the device, in `/metrics`, on the dashboard, in Home Assistant."""

import json
import math
from pathlib import Path

import jinja2
import pytest

from edge_agent.mqtt.home_assistant import discovery
from edge_agent.telemetry.board import Board
from edge_agent.tools.doctor import board_finding
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.metrics import exposition
from edge_bridge.web.dashboard import listing
from edge_contract.messages import Availability, Telemetry, encode
from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import throttling
from tests.bridge.publisher import info, telemetry

LABELS = '{site="home",device="cam"}'
MASKS = [
    (0x0, (), ()),
    (0x1, ("under-voltage",), ()),
    (0x4, ("throttled",), ()),
    (0x50000, (), ("under-voltage", "throttled")),
    (0x50005, ("under-voltage", "throttled"), ("under-voltage", "throttled")),
]


@pytest.mark.parametrize(("mask", "now", "since_start"), MASKS)
def test_the_firmwares_mask_is_read_once_for_everyone(
    mask: int, now: tuple[str, ...], since_start: tuple[str, ...]
) -> None:
    assert throttling(mask) == (now, since_start)


@pytest.mark.parametrize("nonsense", [-1, math.nan, math.inf, 2.0**40])
def test_a_mask_that_no_firmware_gives_names_nothing(nonsense: float) -> None:
    assert throttling(nonsense) == ((), ())


@pytest.mark.parametrize(("mask", "now", "since_start"), MASKS)
def test_device_metrics_dashboard_and_home_assistant_agree(
    tmp_path: Path, mask: int, now: tuple[str, ...], since_start: tuple[str, ...]
) -> None:
    firmware = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text(f"{mask:x}\n")
    board = Board(tmp_path)

    found = board_finding(board)
    assert found.outcome == ("warning" if now or since_start else "ok")
    assert ("slowed down now by " + ", ".join(now) in found.text) == bool(now)
    assert ("since its start by " + ", ".join(since_start) in found.text) == bool(since_start and not now)

    sent = board.gauges()[DeviceGauge.THROTTLED]
    assert sent == mask & 0xF
    # A device that sends the whole mask would have to be read the same way.
    for value in (sent, float(mask)):
        message = telemetry("cam", (5, 1), 9, gauges={"throttled": value})
        assert dashboard(message) == ", ".join(now)
        assert f"edgewise_throttled{LABELS} {value}\n" in metrics(message)
        assert home_assistant(message) == ("ON" if now else "OFF")


def test_a_board_without_such_firmware_is_not_said_to_be_well_or_ill() -> None:
    message = telemetry("cam", (5, 1), 9)
    assert dashboard(message) == ""
    assert "edgewise_throttled{" not in metrics(message)
    assert home_assistant(message) == "None"  # Home Assistant's word for unknown


def fleet_of(message: Telemetry) -> FleetState:
    fleet = FleetState(LimitSettings(), MetricSettings())
    fleet.apply("cam", Availability(state="online", session=5), 100.0)
    fleet.apply("cam", message, 100.0)
    return fleet


def dashboard(message: Telemetry) -> str:
    (device,) = fleet_of(message).devices.values()
    return listing.row_of(device, 101.0, 60.0, ()).slowed


def metrics(message: Telemetry) -> str:
    fleet = fleet_of(message)
    return exposition.write(list(fleet.devices.values()), fleet.sums, 101.0, 60.0)


def home_assistant(message: Telemetry) -> str:
    component = json.loads(discovery(info("cam", 5), "homeassistant")[1])["components"]["throttled"]
    template = jinja2.Environment().from_string(component["value_template"])  # noqa: S701  # no HTML
    return template.render(value_json=json.loads(encode(message)))
