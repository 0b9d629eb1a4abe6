"""A loop, killed with SIGKILL once at every point at which it changes anything; its training lives on, as it does.

Forks a loop again and again. Each notes the first point that no loop before it died at, and dies there; the last one
meets none that is new, and ends when the run has. Prints how many were killed.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge_fleet.loop.actions.local import LocalAction
from edge_fleet.loop.store import LoopStore
from edge_fleet.releases.releases import Releases
from edge_fleet.rollout.store import RolloutStore
from tests.fleet.loop.standing import Standing


def deadly(folder: Path, kind: type, name: str, where: Callable[[], str]) -> None:
    """Let a method kill this process before and after it did its work, once at each phase of the run."""
    original = getattr(kind, name)
    died = folder / "died"

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


def conduct(folder: Path, port: int) -> None:
    with ExitStack() as stack:
        standing = Standing(folder, port, stack)

        def where() -> str:
            run = standing.state.current
            return "idle" if run is None else f"{run.phase} {bool(run.rollout)}"

        for kind, name in (
            (LoopStore, "transition"), (LocalAction, "begin"), (Releases, "add"), (RolloutStore, "begin")
        ):  # fmt: skip
            deadly(folder, kind, name, where)
        while not standing.state.recent:
            standing.turn()
            time.sleep(0.02)


def main() -> None:
    """Usage: killed_loop.py FOLDER PORT."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "died").write_text("")
    killed, deadline = 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        child = os.fork()
        if not child:
            conduct(folder, port)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stderr.write((folder / "died").read_text())
            print(f"killed {killed}", flush=True)
            sys.exit(os.waitstatus_to_exitcode(status))
        killed += 1


if __name__ == "__main__":
    main()
