"""`make bench-dashboard`: how long a person waits for the dashboard, in a real Chromium on this machine.

- First paint: a browser that was never here opens the first page of a fleet of 1,000 devices; from the navigation to
  the moment at which the fleet's numbers stand on the page, and the browser's own first contentful paint.
- Table: of 10,000 devices, from a key or a click to the rows that it asks for; the pause for which the search waits
  before it asks is part of it.

The bridge is a process of its own. Its devices stand in its database, as those of a bridge that was restarted do, so
that the machine does nothing else. What another program does at the same time is in these figures: the load is printed,
and beside the first paint the processor time of the page's main thread and of the bridge until then, which is what a
core of its own would take.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.table import Table

from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.storage.store import Batch, Store
from edge_contract.messages import Availability, ModelRef
from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import info, reported, telemetry
from tests.bridge.web.browser import DESKTOP, chromium

RESULTS: Final = Path(__file__).resolve().parent / "results" / "dashboard.json"
FIRST: Final = 1_000
ALL: Final = 10_000
SITES: Final = 50
_CONFIG: Final = "[metrics]\nsilent_after_s = 86400\n[limits]\nseries_groups = 1000\n"
_WHEN: Final = """(() => {
  window.shownAt = null;
  const look = () => {
    const figure = document.querySelector('.figure');
    if (window.shownAt === null && figure && figure.textContent.includes('/')) window.shownAt = performance.now();
  };
  new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true});
})()"""
_PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_ROWS: Final = """(act) => new Promise((resolve, reject) => {
  const body = document.querySelector('tbody'), before = body.innerText;
  const give_up = setTimeout(() => reject('nothing changed'), 20000);
  const seen = new MutationObserver(() => {
    if (body.isConnected && body.innerText === before) return;
    clearTimeout(give_up); seen.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - began));
  });
  seen.observe(document.querySelector('.q-table__container'), {subtree: true, childList: true, characterData: true});
  const began = performance.now();
  if (act.search !== undefined) {
    const input = document.querySelector('input[type=search]');
    input.value = act.search; input.dispatchEvent(new Event('input', {bubbles: true}));
  } else {
    [...document.querySelectorAll('th')].find((each) => each.textContent.includes(act.sort)).click();
  }
})"""


def stored(url: str, count: int) -> None:
    """A bridge's database with so many devices, one in fifty of them in trouble."""
    now, fleet = time.time(), FleetState(LimitSettings(devices=count, series_groups=1000), MetricSettings())
    canary = ModelRef(name="emotion", release=3, digest="cd" * 32)
    for number in range(count):
        name, site = f"cam-{number:05}", f"site-{number % SITES:02}"
        fleet.apply(name, Availability(state="online", session=5), now)
        fleet.apply(name, info(name, 5, site), now)
        refused: dict[str, Any] = {"state": "rejected", "target": canary, "reason": "too slow"}
        changed = refused if number % 50 == 7 else {}
        fleet.apply(name, reported(name, 5, **changed), now)
        gauges = {"fps": 10.0 + number % 13, "temperature_celsius": 40.0 + number % 30, "brightness": 0.4}
        fleet.apply(name, telemetry(name, (5, 1), 100 + number % 50, site=site, gauges=gauges), now)
        if number % 50 == 9:
            fleet.apply(name, Availability(state="offline", session=5), now)
    store = Store(url)
    store.open(now)
    changes = fleet.take_changes()
    store.write(Batch((), {}, changes.devices, changes.sums))
    store.close()


@contextmanager
def bridge_of(count: int) -> Iterator[BridgeProcess]:
    """A running bridge with so many devices."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        folder = Path(name) / "bridge"
        folder.mkdir()
        stored(f"sqlite:///{folder / 'predictions.db'}", count)
        with BridgeProcess(folder, broker.port, config=_CONFIG) as bridge:
            yield bridge


class Paint(NamedTuple):
    """One first visit, in seconds."""

    shown: float
    """Until the fleet's numbers stood there."""
    contentful: float
    """As the browser tells it."""
    processor: float
    """Of the page's main thread and of the bridge, together."""


def first_paint(browser: Browser, bridge: BridgeProcess) -> Paint:
    """A visit with an empty cache."""
    before = bridge.processor_seconds()
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]  # a TypedDict by another name
    page = context.new_page()
    page.add_init_script(_WHEN)
    inside = context.new_cdp_session(page)
    inside.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(bridge.url("/"))
    page.wait_for_function("() => window.shownAt !== null")
    metrics = {each["name"]: each["value"] for each in inside.send("Performance.getMetrics")["metrics"]}
    used = metrics["ThreadTime"] + bridge.processor_seconds() - before
    found = Paint(page.evaluate("window.shownAt") / 1000, page.evaluate(_PAINT) / 1000, used)
    context.close()
    return found


def table(page: Page, rounds: int, act: Callable[[int], dict[str, str]]) -> list[float]:
    """Seconds from an act to other rows, each time."""
    found = []
    for number in range(rounds):
        found.append(page.evaluate(_ROWS, act(number)) / 1000)
        page.wait_for_timeout(300)
    return found


def main() -> int:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description="How long a person waits for the dashboard.")
    parser.add_argument("--rounds", type=int, default=7, help="of each measurement (7)")
    rounds: int = parser.parse_args().rounds
    with chromium() as browser:
        with bridge_of(FIRST) as bridge:
            first_paint(browser, bridge)  # the bridge's own first page loads what it needs
            paints = [first_paint(browser, bridge) for _ in range(rounds)]
        with bridge_of(ALL) as bridge:
            page = browser.new_page()
            page.goto(bridge.url("/devices"))
            page.wait_for_function("() => document.querySelectorAll('tbody tr').length > 5")
            page.wait_for_timeout(2000)
            searched = table(page, rounds, lambda number: {"search": f"cam-0{number}"})
            page.evaluate(_ROWS, {"search": ""})
            page.wait_for_timeout(500)
            heads = ("Frames/s", "Site", "°C", "p95 ms")
            sorted_ = table(page, rounds, lambda number: {"sort": heads[number % len(heads)]})
    result = {
        "devices_first": FIRST,
        "first_paint_s": round(statistics.median(each.shown for each in paints), 3),
        "first_paint_worst_s": round(max(each.shown for each in paints), 3),
        "first_contentful_paint_s": round(statistics.median(each.contentful for each in paints), 3),
        "first_paint_processor_s": round(statistics.median(each.processor for each in paints), 3),
        "devices_table": ALL,
        "table_filtered_s": round(statistics.median(searched), 3),
        "table_filtered_worst_s": round(max(searched), 3),
        "table_sorted_s": round(statistics.median(sorted_), 3),
        "rounds": rounds,
        "load_average": round(os.getloadavg()[0], 1),
    }
    shown = Table("", "seconds, median", "worst", title=f"Dashboard, {rounds} rounds, load {result['load_average']}")
    for name, values in (
        (f"first page, {FIRST:,} devices, numbers shown", [each.shown for each in paints]),
        ("its processor time, page and bridge", [each.processor for each in paints]),
        (f"table of {ALL:,}, searched", searched),
        (f"table of {ALL:,}, sorted", sorted_),
    ):
        shown.add_row(name, f"{statistics.median(values):.3f}", f"{max(values):.3f}")
    Console(stderr=True).print(shown)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
