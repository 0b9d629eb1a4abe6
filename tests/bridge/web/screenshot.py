"""`python -m tests.bridge.web.screenshot`: draw docs/images/dashboard.png from a real broker, bridge and Chromium."""

import sys
import tempfile
import time
from pathlib import Path

from edge_simulator.broker import Broker
from tests.bridge.process import REPOSITORY, BridgeProcess
from tests.bridge.small_fleet import SmallFleet
from tests.bridge.web.browser import chromium, open_page

PICTURE = REPOSITORY / "docs" / "images" / "dashboard.png"
ROUNDS = 24
ROUND_S = 5.0  # as long as the page's own samples are apart


def main() -> int:
    """Let a small fleet speak for two minutes, then take the picture."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        folder = Path(name) / "bridge"
        folder.mkdir()
        with BridgeProcess(folder, broker.port) as bridge:
            fleet = SmallFleet(broker.port, ("entrance", "hall", "shop-1", "shop-2"))
            fleet.say_hello()
            for number in range(ROUNDS):
                sys.stderr.write(f"\rspeaking {number + 1} of {ROUNDS}")
                if number == ROUNDS * 2 // 3:
                    fleet.devices.pop(1).drop()
                fleet.speak()
                time.sleep(ROUND_S)
            with chromium() as browser:
                page, _ = open_page(browser, bridge.url("/"))
                page.wait_for_timeout(2000)  # charts draw themselves in
                PICTURE.parent.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=PICTURE, full_page=True)
            fleet.close()
    sys.stderr.write(f"\n{PICTURE.relative_to(REPOSITORY)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
