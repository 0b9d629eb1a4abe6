"""`edgewise fleet serve`, killed with SIGKILL once at every point at which it changes anything.

Forks a server again and again. Each notes the first point that no server before it died at, and dies there; the last
one meets none that is new, and ends when the rollout has. Prints how many were killed.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_fleet.devices.healing import Healing
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import machine
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.serving import serving
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from tests.agent.update.update_bench import ReleaseSide


def deadly(directory: Path, kind: type, name: str, where: Callable[[], str]) -> None:
    """Let a method kill this process before and after it did its work, once at each place of the rollout."""
    original = getattr(kind, name)
    died = directory.parent / "died"

    def point(when: str) -> None:
        label = f"{where()} {when} {name}"
        if label not in died.read_text().splitlines():
            with died.open("a") as file:
                file.write(f"{label}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        point("before")
        result = original(*arguments, **options)
        point("after")
        return result

    setattr(kind, name, wrapped)


def serve(directory: Path, port: int) -> None:
    side = ReleaseSide(directory, port)
    with serving(directory), Link(BrokerAddress(port=port)) as link, RolloutStore(directory) as store:

        def where() -> str:
            (state,) = store.all()
            return f"{state.phase} {state.position} {machine.due(state) is not None}"

        for kind, name in ((RolloutStore, "transition"), (DesiredStates, "issue"), (Publisher, "states")):
            deadly(directory, kind, name, where)
        publisher = Publisher(side.releases, side.desired, link)
        healing, controller = Healing(publisher, print), Controller(publisher, store, print)
        healing.begin()
        while any(machine.is_open(state) for state in store.all()):
            controller.turn()
            healing.turn(0.02)


def main() -> None:
    """Usage: killed_server.py DIRECTORY PORT."""
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    (directory.parent / "died").write_text("")
    killed, deadline = 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        child = os.fork()
        if not child:
            serve(directory, port)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stderr.write((directory.parent / "died").read_text())
            print(f"killed {killed}", flush=True)
            sys.exit(os.waitstatus_to_exitcode(status))
        killed += 1
    sys.exit("it did not end")


if __name__ == "__main__":
    main()
