"""`python -m tests.bridge.web.screenshot`: draw the dashboard's pictures in docs/images from a real broker, bridge and
Chromium: the first page, a device and a rollout, and the first page on a phone at night.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from edge_simulator.broker import Broker
from tests.bridge.process import REPOSITORY, BridgeProcess
from tests.bridge.small_fleet import SmallFleet
from tests.bridge.web import showcase
from tests.bridge.web.browser import chromium, open_page

IMAGES = REPOSITORY / "docs" / "images"
ROUNDS = 36
ROUND_S = 5.0  # as long as the page's own samples are apart
ODD = {"yard": {"frozen_seconds": 420.0}}


class Picture(NamedTuple):
    """One page to draw."""

    file: str
    path: str
    phone: bool = False
    dark: bool = False


PICTURES = (
    Picture("dashboard.png", "/"),
    Picture("dashboard-device.png", "/device/entrance"),
    Picture("dashboard-rollout.png", "/rollout/all"),
    Picture("dashboard-phone.png", "/", phone=True, dark=True),
)


def main() -> int:
    """Let a small fleet speak for three minutes, then take the pictures."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        folder = Path(name) / "bridge"
        folder.mkdir()
        with BridgeProcess(folder, broker.port) as bridge:
            fleet = SmallFleet(broker.port, ("entrance", "hall", "shop-1", "shop-2", "yard"), odd=ODD)
            fleet.say_hello()
            for number in range(ROUNDS):
                sys.stderr.write(f"\rspeaking {number + 1} of {ROUNDS}")
                if number == ROUNDS * 2 // 3:
                    fleet.devices.pop(1).drop()
                fleet.speak()
                if number in {ROUNDS // 2, ROUNDS - 2}:
                    showcase.publish(broker.port)
                time.sleep(ROUND_S)
            with chromium() as browser:
                for picture in PICTURES:
                    page, _ = open_page(browser, bridge.url(picture.path), phone=picture.phone, dark=picture.dark)
                    page.wait_for_timeout(3000)  # charts draw themselves in
                    IMAGES.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=IMAGES / picture.file, full_page=not picture.phone)
                    page.context.close()
            fleet.close()
    sys.stderr.write("\n" + "".join(f"docs/images/{each.file}\n" for each in PICTURES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
