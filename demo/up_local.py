"""`make up-local`: broker, bridge, Prometheus, Alertmanager and MLflow, on this machine, in the foreground.

Data stays under .local/, so the next start goes on with it. Alerts that would go to a pager are printed.
"""

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from demo.alert_receiver import Alert, AlertReceiver
from demo.processes import end_as_by_ctrl_c
from demo.steps import Steps
from demo.watching import PARTS, Watching, parts
from edge_contract.command_end import command
from edge_contract.errors import ExitCode, UsageError
from edge_contract.visible import visible

FOLDER = Path(".local")


@command("edgewise")
def main() -> int:
    """Run until Ctrl-C; return the exit code."""
    given = _parser().parse_args()
    chosen = parts(_ports(given.port), given.without)
    steps = Steps()
    end_as_by_ctrl_c()
    with Watching(given.folder, steps, ports=chosen, registry=given.registry) as watching:
        watching.check()
        with contextlib.ExitStack() as stack:
            if "alerts" in chosen:
                stack.enter_context(AlertReceiver(chosen["alerts"], watching.token(), _Printer(steps).take))
            watching.start()
            with contextlib.suppress(KeyboardInterrupt):  # from the line on that asks for it
                _say_where(watching, steps)
                _wait(watching, given.seconds)
    return int(ExitCode.OK)


class _Printer:
    """Prints each alert once, and once that it is over; the watchdog only the first time."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._lock = steps, threading.Lock()
        self._shown: dict[tuple[tuple[str, str], ...], str] = {}

    def take(self, alert: Alert) -> None:
        """One alert of a notification."""
        key = tuple(sorted(alert.labels.items()))
        with self._lock:
            if self._shown.get(key) == alert.status:
                return
            self._shown[key] = alert.status
            said = alert.annotations.get("summary", "")
            self._steps.say(visible(f"{alert.receiver}: {alert.status} {alert.name}: {said}"))


def _say_where(watching: Watching, steps: Steps) -> None:
    steps.say("")
    steps.say(f"Devices and commands: --broker {watching.broker_url}")
    for part, what in (
        ("bridge", "dashboard"),
        ("prometheus", "Prometheus"),
        ("alertmanager", "Alertmanager"),
        ("mlflow", "MLflow"),
    ):
        if part in watching.ports:
            steps.say(f"{what}: {watching.url(part)}")
    steps.say(f"Data and logs: {watching.folder}. Press Ctrl-C to end.")


def _wait(watching: Watching, seconds: float | None) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        watching.processes.check()
        time.sleep(0.5)


def _ports(given: Sequence[str]) -> dict[str, int]:
    found = {}
    for each in given:
        part, equals, port = each.partition("=")
        if not equals or not port.isdecimal() or len(port) > 5:
            raise UsageError(f"{each!r} is no part and its port", remedy="write such as prometheus=9091")
        found[part] = int(port)
    return found


def _parser() -> argparse.ArgumentParser:
    usual = " ".join(f"{part}={port}" for part, port in PARTS.items())
    parser = argparse.ArgumentParser(prog="up-local", description="What watches a fleet, on this machine.")
    parser.add_argument(
        "--port", action="append", default=[], metavar="PART=PORT", help=f"another port than of: {usual}"
    )
    parser.add_argument("--without", action="append", default=[], metavar="PART", help="leave a part out")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where data and logs are kept (.local)")
    parser.add_argument("--registry", default="", metavar="URL", help="MLflow's store (one in the folder)")
    parser.add_argument("--seconds", type=float, help="end by itself after so long; else on Ctrl-C")
    return parser


if __name__ == "__main__":
    sys.exit(main())
