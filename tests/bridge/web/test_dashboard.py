"""The page in a real Chromium, showing devices that really published; and its values worked out of plain records."""

import time
from collections.abc import Iterator

import pytest

from edge_bridge.fleet.history import History
from edge_bridge.fleet.state import FleetState
from edge_bridge.settings import LimitSettings, MetricSettings
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.dashboard import charts, rows
from edge_contract.messages import Availability, ModelRef
from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import Publisher, info, prediction, reported, telemetry

browser_tools = pytest.importorskip("tests.bridge.web.browser", reason="playwright is not installed")
from playwright.sync_api import Browser, expect  # noqa: E402  # only where the line above did not skip

from tests.bridge.small_fleet import SmallFleet  # noqa: E402

needs_chromium = pytest.mark.skipif(
    not browser_tools.CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this module."""
    with browser_tools.chromium() as running:
        yield running


@needs_chromium
def test_an_empty_fleet_is_told_what_to_do_first_and_fills_by_itself(
    bridge: BridgeProcess, broker: Broker, browser: Browser
) -> None:
    page, noted = browser_tools.open_page(browser, bridge.url("/"))
    expect(page.get_by_text("No device yet")).to_be_visible()
    expect(page.get_by_text(f"port = {broker.port}")).to_be_visible()
    with Publisher(broker.port, "cam-1", 1000) as device:
        device.say_hello()
        device.send(telemetry("cam-1", (1000, 1), 150), "telemetry")
        device.send(prediction("cam-1", (1000, 2), label="surprise", oldest=(1000, 1)), "prediction")
        expect(page.get_by_text("No device yet")).to_be_hidden()
        row = page.locator(".ag-row").filter(has_text="cam-1")
        for text in ("online", "emotion", "14.9", "up to date"):
            expect(row.get_by_text(text, exact=True)).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="surprise").filter(has_text="93%")).to_be_visible()
        expect(page.get_by_text("1 / 1")).to_be_visible()
        device.drop()
        expect(row.get_by_text("offline")).to_be_visible()
        expect(page.get_by_text("0 / 1")).to_be_visible()
    assert [each for each in noted if not each.startswith((bridge.url("/"), "data:", "blob:"))] == []
    assert len(noted) > 10


@needs_chromium
def test_a_phone_at_night_sees_cards_and_no_sideways_scrolling(
    bridge: BridgeProcess, broker: Broker, browser: Browser
) -> None:
    fleet = SmallFleet(broker.port, ("door", "hall", "shop", "yard"))
    fleet.say_hello()
    fleet.speak()
    page, noted = browser_tools.open_page(browser, bridge.url("/"), phone=True, dark=True)
    expect(page.locator(".device-card")).to_have_count(4)
    expect(page.locator(".device-card").first).to_contain_text("yard")  # the one in trouble comes first
    expect(page.locator(".device-card").first).to_contain_text("emotion-3 rejected: its self-test took 131 ms")
    expect(page.locator("canvas")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 25)"
    assert [each for each in noted if each.startswith("error")] == []
    fleet.close()


@needs_chromium
def test_a_label_from_the_wire_is_text_and_never_markup(
    bridge: BridgeProcess, broker: Broker, browser: Browser
) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    with Publisher(broker.port, "cam-1", 1000) as device:
        device.say_hello()
        device.send(reported("cam-1", 1000, state="rejected", reason=nasty), "reported", retain=True)
        device.send(telemetry("cam-1", (1000, 1), 9, emotions={nasty: 9}), "telemetry")
        device.send(prediction("cam-1", (1000, 2), label=nasty, oldest=(1000, 1)), "prediction")
        device.wait_for_ack((1000, 2))
        page, noted = browser_tools.open_page(browser, bridge.url("/"))
        expect(page.get_by_role("row").filter(has_text=nasty).first).to_be_visible()
        page.locator(".ag-row").hover()
        assert page.locator("img[src=x]").count() == 0
        assert [each for each in noted if each.endswith("/x")] == []


@needs_chromium
def test_a_lost_broker_is_said_on_the_page(bridge: BridgeProcess, broker: Broker, browser: Browser) -> None:
    page, _ = browser_tools.open_page(browser, bridge.url("/"))
    broker.kill()
    expect(page.get_by_text(f"Not connected to the MQTT broker at 127.0.0.1:{broker.port}")).to_be_visible()
    broker.start()
    expect(page.get_by_text("Not connected to the MQTT broker")).to_be_hidden(timeout=20_000)


def _fleet() -> FleetState:
    fleet = FleetState(LimitSettings(), MetricSettings())
    for name in ("a", "b", "c", "d"):
        fleet.apply(name, Availability(state="online", session=5), 100.0)
        fleet.apply(name, info(name, 5), 100.0)
        fleet.apply(name, telemetry(name, (5, 1), 100), 100.0)
    return fleet


def test_devices_in_trouble_stand_first() -> None:
    fleet = _fleet()
    fleet.apply("c", Availability(state="offline", session=5), 101.0)
    target = ModelRef(name="emotion", release=3, digest="cd" * 32)
    fleet.apply("d", reported("d", 5, state="rolled-back", target=target, reason="too slow"), 101.0)
    found = rows.device_rows(fleet.devices.values(), 110.0, 60.0)
    assert [(each["device"], each["state"], each["update"]) for each in found] == [
        ("c", "offline", ""),
        ("d", "online", "emotion-3 rolled back: too slow"),
        ("a", "online", ""),
        ("b", "online", ""),
    ]
    assert found[0]["fps"] is None
    assert found[2]["fps"] == 14.9


def test_the_table_is_bounded() -> None:
    fleet = FleetState(LimitSettings(), MetricSettings())
    for number in range(rows.SHOWN + 10):
        fleet.apply(f"cam-{number}", Availability(state="online", session=5), 100.0)
    assert len(rows.device_rows(fleet.devices.values(), 110.0, 60.0)) == rows.SHOWN


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (-3, "now"),
        (30, "30 s ago"),
        (89, "89 s ago"),
        (300, "5 min ago"),
        (7300, "2 h ago"),
        (2e5, "2 d ago"),
    ],
)
def test_time_spans_are_said_for_people(seconds: float, said: str) -> None:
    assert rows.ago(seconds) == said


def test_predictions_are_listed_newest_first() -> None:
    recent = [LoggedPrediction(prediction("cam", (5, each), time=time.time()), 1.0) for each in range(1, 20)]
    assert [each["key"] for each in rows.prediction_rows(recent, 3)] == ["cam/5/19", "cam/5/18", "cam/5/17"]


def test_charts_show_what_happened_between_samples_and_not_since_ever() -> None:
    fleet, history = _fleet(), History(silent_after=60.0)
    history.sample(fleet, 100.0)
    assert (history.mix(), history.latency()[-1].p95) == ({}, None)
    fleet.apply("a", telemetry("a", (5, 2), 140), 104.0)
    history.sample(fleet, 102.0)  # too soon
    history.sample(fleet, 106.0)
    assert history.mix() == {"happy": 40}
    assert history.latency()[-1].p50 == pytest.approx(0.004)
    assert len(history.samples) == 2
    assert charts.mix(history.mix())["series"][0]["data"][0]["value"] == 100.0
    assert [each["name"] for each in charts.frames(history.samples)["series"]] == ["all devices", "a", "b", "c", "d"]


def test_charts_of_nothing_are_valid() -> None:
    history = History(silent_after=60.0)
    assert charts.mix(history.mix())["series"][0]["data"] == []
    assert charts.latency(history.latency())["series"][0]["data"] == []
    assert charts.frames(history.samples)["series"][0]["data"] == []
