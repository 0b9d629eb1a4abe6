"""`make bench-alerting`: from a device that is gone to `edgewise_up 0` in Prometheus and the webhook of its alert.

A real mosquitto, bridge, Prometheus and Alertmanager, with the rules and routes of deploy/ and one second wherever they
say how often or how long. A device's connection breaks, so the broker publishes its last will at once: that is when the
clock starts. It comes back, and breaks again.
"""

import argparse
import json
import queue
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from demo.alert_receiver import Alert, AlertReceiver
from demo.steps import Steps
from demo.watching import Watching
from edge_simulator.broker import free_port
from tests.bridge.publisher import Publisher, telemetry

DEVICE: Final = "cam-1"
PATIENCE_S: Final = 60.0
_QUERY: Final = f"/api/v1/query?query=edgewise_up%7Bdevice%3D%22{DEVICE}%22%7D"


def main() -> int:
    """Print a line a round, and the summary as JSON."""
    parser = argparse.ArgumentParser(description="From a device that is gone to the webhook of its alert.")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    arrived: queue.Queue[tuple[float, Alert]] = queue.Queue()
    ports = {part: free_port() for part in ("broker", "bridge", "alerts", "alertmanager", "prometheus")}
    chance, gone, told = random.Random(1), [], []  # noqa: S311  # a moment, not a secret
    with (
        tempfile.TemporaryDirectory(prefix="edgewise-alerting-") as folder,
        Watching(Path(folder), Steps(), ports=ports, quick=True) as watching,
        AlertReceiver(ports["alerts"], watching.token(), lambda alert: arrived.put((time.monotonic(), alert))),
    ):
        watching.start()
        while arrived.get(timeout=PATIENCE_S)[1].name != "Watchdog":
            pass  # from then on Prometheus knows where alerts go
        for number in range(given.rounds):
            # At any moment between two scrapes; `drop` ends a whole number of seconds after the connection began.
            time.sleep(chance.random())
            device = Publisher(ports["broker"], DEVICE, int(time.time()) + number)
            device.say_hello()
            device.send(telemetry(DEVICE, (device.session, 1), 150), "telemetry")
            _until(lambda: _up(watching) == "1")
            if number:
                _alert(arrived, "resolved")
            device.drop()
            began = time.monotonic()
            _until(lambda: _up(watching) == "0")
            gone.append(time.monotonic() - began)
            told.append(_alert(arrived, "firing") - began)
            print(f"  round {number + 1}: up 0 after {gone[-1]:.2f} s, webhook after {told[-1]:.2f} s")
    summary = {"rounds": given.rounds, "up_0_s": _spread(gone), "webhook_s": _spread(told)}
    print(json.dumps(summary))
    return 0


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)}


def _up(watching: Watching) -> str | None:
    """What Prometheus says of the device; None while it says nothing."""
    answer = watching.get("prometheus", _QUERY)
    result = [] if answer is None else json.loads(answer)["data"]["result"]
    return str(result[0]["value"][1]) if result else None


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("Prometheus did not say so in time")
        time.sleep(0.02)


def _alert(arrived: "queue.Queue[tuple[float, Alert]]", status: str) -> float:
    """When the device's alert arrived at the webhook with this status."""
    while True:
        at, alert = arrived.get(timeout=PATIENCE_S)
        if (alert.name, alert.status, alert.labels.get("device")) == ("DeviceDown", status, DEVICE):
            return at


if __name__ == "__main__":
    sys.exit(main())
