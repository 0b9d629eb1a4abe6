"""The pages in a real Chromium, showing devices that really published and releases that were really announced."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_bridge.fleet.device_history import KEPT, DeviceHistory
from edge_bridge.fleet.history import History
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.access import passwords
from edge_bridge.web.dashboard import charts
from edge_bridge.web.dashboard.pages.home import prediction_rows
from edge_contract.messages import Availability
from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import Publisher, info, prediction, reported, telemetry

browser_tools = pytest.importorskip("tests.bridge.web.browser", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect  # noqa: E402  # only where the line above did not skip

from tests.bridge.small_fleet import SmallFleet  # noqa: E402
from tests.bridge.web import showcase  # noqa: E402

needs_chromium = pytest.mark.skipif(
    not browser_tools.CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)"
)
ODD = {"yard": {"frozen_seconds": 420.0}}
PASSWORD = "correct horse battery"  # noqa: S105  # of this test


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this module."""
    with browser_tools.chromium() as running:
        yield running


class Shown(NamedTuple):
    """A fleet that has spoken, and the bridge that shows it behind a prefix and a password."""

    bridge: BridgeProcess
    fleet: SmallFleet
    broker: Broker
    cookies: list[dict[str, object]]

    def open(self, browser: Browser, path: str, **how: bool) -> tuple[Page, list[str]]:
        """A page of it, logged in."""
        return browser_tools.open_page(browser, self.bridge.url(f"/edgewise{path}"), cookies=self.cookies, **how)


@pytest.fixture(scope="module")
def shown(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Four devices, two rollouts, two releases; the login is the page's own."""
    folder = tmp_path_factory.mktemp("shown")
    config = f'[web]\nprefix = "/edgewise"\npassword_hash = "{passwords.hashed(PASSWORD)}"\n'
    with Broker(folder / "broker") as broker, BridgeProcess(folder, broker.port, config=config) as bridge:
        fleet = SmallFleet(broker.port, ("entrance", "hall", "shop-2", "yard"), odd=ODD)
        fleet.say_hello()
        fleet.speak()
        showcase.publish(broker.port)
        context = browser.new_context()
        page = context.new_page()
        page.goto(bridge.url("/edgewise/devices?state=online"))
        page.get_by_label("Password of the dashboard").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(bridge.url("/edgewise/devices?state=online"))
        cookies = context.cookies()
        context.close()
        fleet.speak()
        for each in fleet.devices:
            each.wait_for_ack((each.session, 4))
        yield Shown(bridge, fleet, broker, cookies)  # type: ignore[arg-type]  # a TypedDict by another name
        fleet.close()


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
        row = page.locator("tbody tr").filter(has_text="online")
        for text in ("cam-1", "online", "emotion-2", "14.9", "up to date"):
            expect(row.get_by_text(text, exact=True)).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="surprise").filter(has_text="93%")).to_be_visible()
        expect(page.get_by_text("1 / 1")).to_be_visible()
        expect(page.get_by_text("Nothing is wrong: 1 device of 1 up.")).to_be_visible()
        device.drop()
        expect(page.get_by_text("1 device offline")).to_be_visible()
        expect(page.get_by_text("0 / 1")).to_be_visible()
    assert [each for each in noted if not each.startswith((bridge.url("/"), "data:", "blob:"))] == []
    assert len(noted) > 10
    elsewhere, _ = browser_tools.open_page(browser, bridge.url("/loop"))
    expect(elsewhere.get_by_text("No loop has told how it stands.")).to_be_visible()
    expect(elsewhere.get_by_text("edgewise loop serve --config loop.toml")).to_be_visible()
    broker.kill()
    expect(page.get_by_text(f"Not connected to the MQTT broker at 127.0.0.1:{broker.port}")).to_be_visible()
    broker.start()
    expect(page.get_by_text("Not connected to the MQTT broker")).to_be_hidden(timeout=20_000)


@needs_chromium
def test_what_is_wrong_leads_to_the_device_and_its_past(shown: Shown, browser: Browser) -> None:
    page, noted = shown.open(browser, "/")
    problems = page.locator(".problem")
    expect(problems.nth(0)).to_contain_text("yard: its camera has delivered the very same picture for 7 minutes.")
    expect(problems.nth(1)).to_contain_text("lab: emotion-3 was halted")
    problems.nth(0).get_by_role("link", name="yard").click()
    expect(page).to_have_url(shown.bridge.url("/edgewise/device/yard"))
    for text in ("9b1f2c07e5d21", "faces 2026-10", "7 minutes"):
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    expect(page.locator(".events")).to_contain_text("its camera has delivered the very same picture")
    expect(page.locator(".bar .online")).to_have_count(1)
    expect(page.get_by_text("It runs emotion-2; emotion-3 was rejected")).to_be_visible()
    page.get_by_role("button", name="Learn again").click()
    page.get_by_role("dialog").get_by_role("button", name="Learn again").click()
    expect(page.get_by_text("Its baseline is being learned again.")).to_be_visible()
    page.get_by_role("link", name="its predictions").click()
    expect(page.get_by_text("1 to 2 of 2, newest first")).to_be_visible()
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_the_table_is_filtered_and_sorted_by_the_bridge_and_its_address_can_be_handed_on(
    shown: Shown, browser: Browser
) -> None:
    page, noted = shown.open(browser, "/devices?trouble=any")
    devices = page.locator("tbody tr td:first-child")
    expect(devices).to_have_text(["yard"])
    page.goto(shown.bridge.url("/edgewise/devices"))
    expect(devices).to_have_count(4)
    page.get_by_label("Search devices").fill("a")
    expect(devices).to_have_text(["yard", "entrance", "hall"])
    page.get_by_role("columnheader", name="Device").click()
    expect(devices).to_have_text(["entrance", "hall", "yard"])
    page.get_by_role("columnheader", name="Device").click()
    expect(devices).to_have_text(["yard", "hall", "entrance"])
    expect(page).to_have_url(re.compile(r"/edgewise/devices\?q=a&sort=-device$"))
    page.reload()
    expect(devices).to_have_text(["yard", "hall", "entrance"])
    page.get_by_label("Search devices").fill("nothing like it")
    expect(page.get_by_text("No device is like this.")).to_be_visible()
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_a_phone_at_night_sees_cards_and_no_sideways_scrolling(shown: Shown, browser: Browser) -> None:
    page, noted = shown.open(browser, "/", phone=True, dark=True)
    expect(page.locator(".device-card")).to_have_count(4)
    expect(page.locator(".device-card").first).to_contain_text("yard")  # the one in trouble comes first
    expect(page.locator("canvas")).to_have_count(3)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 25)"
    for path in ("/devices", "/device/yard", "/rollout/all", "/predictions"):
        page.goto(shown.bridge.url(f"/edgewise{path}"))
        expect(page.locator(".panel:not(.hidden)").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.get_by_label("Light or dark").click()
    expect(page.locator("body.body--light")).to_have_count(1)
    page.goto(shown.bridge.url("/edgewise/"))  # it stays so on the next page
    expect(page.locator("body.body--light")).to_have_count(1)
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_a_rollout_and_its_releases_are_shown_with_bounds(shown: Shown, browser: Browser) -> None:
    page, noted = shown.open(browser, "/rollouts")
    page.get_by_role("link", name="all", exact=True).click()
    for text in ("wave 2", "1 of 3 devices failed: between 2 % and 74 %", "76.8% [74.9%, 78.6%]", "20 minutes of soak"):
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.locator(".events")).to_contain_text("runs wave 2 of 50%")
    page.get_by_role("link", name="both releases side by side").click()
    expect(page).to_have_url(re.compile(r"/edgewise/releases\?a=abab"))
    for text in ("67.12% [65.58%, 68.60%]", "+2.4 points [+0.3, +4.5]", "emotion-2 answered, emotion-3 beside it"):
        expect(page.get_by_text(text).first).to_be_visible()
    page.goto(shown.bridge.url("/edgewise/rollout/nowhere"))
    expect(page.get_by_text("Nothing is known of this group.")).to_be_visible()
    page.goto(shown.bridge.url("/edgewise/device/nowhere"))
    expect(page.get_by_text("No device of this id has connected")).to_be_visible()
    page.goto(shown.bridge.url("/edgewise/alerts"))
    expect(page.get_by_text("No Alertmanager is named in the settings.")).to_be_visible()
    page.goto(shown.bridge.url("/edgewise/label"))
    expect(page.get_by_text("Labels are not collected here.")).to_be_visible()
    expect(page.get_by_text("edgewise-bridge labels key labelling.pem")).to_be_visible()
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_a_loop_is_shown_step_by_step_with_what_it_declined(shown: Shown, browser: Browser) -> None:
    page, noted = shown.open(browser, "/loop")
    runs = page.locator(".problem")
    expect(runs.nth(0)).to_contain_text("Drift on entrance, hall: dark")
    for text in ("emotion-3", "71.2%", "retrain-augmented", "all-emotion-3 waits for a person."):
        expect(runs.nth(0)).to_contain_text(text)
    expect(runs.nth(1)).to_contain_text("Drift on yard: turned")
    expect(runs.nth(1)).to_contain_text("A turned camera needs a person: straighten it; no training.")
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_predictions_are_filtered_and_taken_along(shown: Shown, browser: Browser, tmp_path: Path) -> None:
    page, noted = shown.open(browser, "/predictions?device=hall")
    expect(page.locator("table").first.locator("tbody tr")).to_have_count(2)
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    lines = Path(started.value.path()).read_text().splitlines()
    assert (lines[0].startswith("time,received,device"), len(lines)) == (True, 3)
    assert all(",hall," in line for line in lines[1:])
    page.get_by_label("Device").fill("nobody")
    expect(page.get_by_text("No prediction is like this.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?device=nobody$"))
    assert [each for each in noted if each.startswith("error")] == []


@needs_chromium
def test_a_label_from_the_wire_is_text_and_never_markup(shown: Shown, browser: Browser) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    with Publisher(shown.broker.port, "nasty", 1000) as device:
        device.say_hello()
        device.send(reported("nasty", 1000, state="rejected", reason=nasty), "reported", retain=True)
        device.send(telemetry("nasty", (1000, 1), 9, emotions={nasty: 9}), "telemetry")
        device.send(prediction("nasty", (1000, 2), label=nasty, oldest=(1000, 1)), "prediction")
        device.wait_for_ack((1000, 2))
        page, noted = shown.open(browser, "/")
        expect(page.get_by_text(nasty).first).to_be_visible()
        for path in ("/device/nasty", "/predictions?device=nasty"):
            page.goto(shown.bridge.url(f"/edgewise{path}"))
            expect(page.locator(".panel:not(.hidden)").first).to_be_visible()
            page.wait_for_timeout(300)
            assert page.locator("img[src=x]").count() == 0
        assert [each for each in noted if each.endswith("/x") or each.startswith("error")] == []


def _fleet(*names: str) -> FleetState:
    fleet = FleetState(LimitSettings(), MetricSettings())
    for name in names or ("a", "b", "c", "d"):
        fleet.apply(name, Availability(state="online", session=5), 100.0)
        fleet.apply(name, info(name, 5), 100.0)
        fleet.apply(name, telemetry(name, (5, 1), 100), 100.0)
    return fleet


def test_predictions_are_listed_newest_first() -> None:
    recent = [LoggedPrediction(prediction("cam", (5, each)), 1.0) for each in range(1, 20)]
    assert [each["key"] for each in prediction_rows(recent, limit=3)] == ["cam/5/19", "cam/5/18", "cam/5/17"]


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


def test_a_chart_of_many_devices_draws_their_sum_alone() -> None:
    fleet, history = _fleet(*(f"cam-{number}" for number in range(9))), History(silent_after=60.0)
    history.sample(fleet, 100.0)
    (line,) = charts.frames(history.samples)["series"]
    assert line["data"] == [[100_000.0, pytest.approx(9 * 14.9)]]


def test_a_device_is_sampled_while_the_fleet_is_small_or_its_page_is_open() -> None:
    fleet, history = _fleet("a"), DeviceHistory(60.0)
    history.sample(fleet.devices, 100.0)
    history.sample(fleet.devices, 101.0)  # too soon
    history.sample(fleet.devices, 170.0)  # silent by now
    assert [(each.time, each.fps, each.temperature) for each in history.of("a")] == [
        (100.0, 14.9, 51.0), (170.0, None, None),
    ]  # fmt: skip
    many = {f"cam-{number}": fleet.devices["a"] for number in range(KEPT + 1)}
    history.watch("cam-7")
    history.sample(many, 200.0)
    assert (len(history.of("cam-7")), history.of("cam-8"), history.of("a")) == (1, [], [])


def test_charts_of_nothing_are_valid() -> None:
    history = History(silent_after=60.0)
    assert charts.mix(history.mix())["series"][0]["data"] == []
    assert charts.latency(history.latency())["series"][0]["data"] == []
    assert charts.frames(history.samples)["series"][0]["data"] == []
    assert charts.agreement((), ())["series"][0]["data"] == []
    assert charts.stages(())["series"][0]["data"] == []
