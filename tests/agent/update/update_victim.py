"""A device in a process of its own that kills itself (SIGKILL) around one transition: `DIR PORT [PHASE MOMENT]`.

MOMENT "before": the work that leads to PHASE is done, PHASE is not written yet. "after": PHASE is written, and nothing
of its own work is done. Without a phase it runs until its parent ends it. It prints a line of JSON for each report.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import json

from edge_agent.update.machine import State
from edge_agent.update.store import StateStore
from edge_contract.messages import Reported
from tests.agent.update.update_bench import FIXTURES, Device, quick_waits


def kill_around(phase: str, moment: str) -> None:
    """Arm the store: the process ends around the transaction that writes this phase."""
    write, commit = StateStore.save_update, StateStore.transaction
    armed = False

    def save_update(store: StateStore, state: State) -> None:
        nonlocal armed
        write(store, state)
        if state.phase == phase:
            if moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            armed = True

    @contextmanager
    def transaction(store: StateStore) -> Iterator[None]:
        with commit(store):
            yield
        if armed:
            os.kill(os.getpid(), signal.SIGKILL)

    StateStore.save_update = save_update  # type: ignore[method-assign]
    StateStore.transaction = transaction  # type: ignore[method-assign]


class Telling(Device):
    """A device that also tells its parent."""

    def _report(self, reported: Reported) -> None:
        super()._report(reported)
        sys.stdout.write(json.encode(reported).decode() + "\n")
        sys.stdout.flush()


def main(directory: str, port: str, phase: str = "", moment: str = "") -> None:
    """Run until killed."""
    quick_waits(pytest.MonkeyPatch())
    if phase:
        kill_around(phase, moment)
    folder = Path(directory)
    root = (folder.parent / "root.json").read_bytes()
    with Telling(folder, int(port), root, factory=FIXTURES / "tiny-1.ewm"):
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
