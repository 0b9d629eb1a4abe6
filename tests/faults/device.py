"""A device in a process of its own with a fault in it, and what must hold on its disk after any of them.

Processes come from a fork server that has everything imported, so that thousands of starts fit into minutes. Each runs
the real update thread with its real children on a real broker; its model's answers are fed.
"""

import logging
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge_agent.models.selftest import COMMAND
from edge_agent.models.slots import ActiveModel, Slots
from edge_agent.update import updater
from edge_agent.update.machine import State, running
from edge_agent.update.store import StateStore
from edge_agent.update.work import Challenger
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef, Reported
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import FIXTURES, GROUP, Device, ReleaseSide, quick_waits, tiny
from tests.faults.operations import Fault, Operations

FACTORY = FIXTURES / "tiny-1.ewm"
PATIENCE_S = 40.0
RELEASED = frozenset(tiny(number).manifest.digest for number in (1, 2))
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["tests.faults.device", "tests.faults.crops", "edge_vision.classifier", "edge_agent.agent"]
)


class Hung(NamedTuple):
    """The device's thread hangs at the operation asked for."""


class Wrong(NamedTuple):
    """The device did what must not be."""

    what: str


class Operated(NamedTuple):
    """What the device did to its disk until it stopped."""

    names: list[str]


Said = Reported | Hung | Wrong | Operated


class _Telling(Device):
    """A device that tells its parent."""

    def __init__(self, tell: Connection, directory: Path, port: int, root: bytes, **options: Any) -> None:
        self._tell, self._started = tell, False
        super().__init__(directory, port, root, factory=FACTORY, **options)

    def __enter__(self) -> "_Telling":
        super().__enter__()
        self._started = True
        if self.running is None:
            self.tell(Wrong("no model runs after the start"))
        return self

    def tell(self, said: Said) -> None:
        """To the parent, while it is there."""
        self._tell.send(said)

    def _report(self, reported: Reported) -> None:
        super()._report(reported)
        if reported.active is None and self._started:
            self.tell(Wrong("no model runs"))
        self.tell(reported)

    def _activate(self, model: ActiveModel) -> None:
        self._verified(model)
        super()._activate(model)

    def _run_beside(self, challenger: Challenger | None) -> None:
        if challenger is not None:
            self._verified(challenger.model)
        super()._run_beside(challenger)

    def _verified(self, model: ActiveModel) -> None:
        if digest_of(model.model) != model.manifest.digest or model.manifest.digest not in RELEASED:
            self.tell(Wrong(f"an unverified model was run: {model.manifest.digest[:12]}"))


def _run(tell: Connection, listen: Connection, directory: Path, port: int, fault: Fault | None, offset: float) -> None:
    patch = pytest.MonkeyPatch()
    quick_waits(patch)
    patch.setattr(updater, "_DISK_S", 0.1)
    patch.setattr(updater, "_RETRY_S", 0.3)
    if fault is not None and fault.kind == "error":
        logging.disable(logging.CRITICAL)  # what it says of its disk, a thousand times
    operations = Operations(directory, fault, lambda: tell.send(Hung()))
    operations.watch(patch)
    root = (directory.parent / "root.json").read_bytes()
    while True:
        try:
            device = _Telling(tell, directory, port, root, now=lambda: time.time() + offset, selftest_command=COMMAND)
            break
        except (
            EdgewiseError,
            sqlite3.Error,
            OSError,
        ):  # as a service manager does: it ended with one sentence, and is started again
            time.sleep(0.05)
    with device:
        listen.recv()  # whatever it is, or the parent's end: stop
        patch.undo()
    tell.send(Operated(operations.names))


class DeviceProcess:
    """A device that runs until it is killed or stopped; a context manager."""

    def __init__(self, directory: Path, port: int, fault: Fault | None = None, *, offset: float = 0.0) -> None:
        """`offset`: seconds that the device's clock is wrong by."""
        self._said, tell = PROCESSES.Pipe(duplex=False)
        listen, self._ask = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_run, args=(tell, listen, directory, port, fault, offset), daemon=True)
        self._process.start()
        tell.close()
        listen.close()
        self.wrong: list[str] = []
        self.operations: list[str] = []

    def until(self, holds: Callable[[Reported], bool], what: str) -> Reported:
        """The first report for which this holds.

        Raises:
            EOFError: the process ended. TimeoutError: it never came.
        """
        last = None
        for said in self._messages():
            if isinstance(said, Reported):
                if holds(said):
                    return said
                last = said
        raise TimeoutError(f"never {what}; last {last}")

    def until_hung_or(self, holds: Callable[[Reported], bool], what: str, *, hangs: bool = True) -> bool:
        """Wait for a report for which this holds or, with `hangs`, until the fault of that kind happens.

        Returns:
            Whether it hangs.

        Raises:
            EOFError: the process ended. TimeoutError: neither came.
        """
        last = None
        for said in self._messages():
            if isinstance(said, Hung) and hangs:
                return True
            if isinstance(said, Reported):
                if holds(said):
                    return False
                last = said
        raise TimeoutError(f"never {what}; last {last}")

    def stop(self, *, hangs: bool = False) -> list[str]:
        """End it politely; its operations, none if it is killed or, with `hangs`, hangs while it ends."""
        self._ask.send(None)
        try:
            for said in self._messages():
                if isinstance(said, Operated):
                    self.operations = said.names
                if isinstance(said, Hung) and hangs:
                    return []
        except EOFError:
            pass
        self._process.join(20)
        return self.operations

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self._process.exitcode == -9

    def wait_killed(self) -> bool:
        """Wait for its end; whether SIGKILL ended it."""
        try:
            for _ in self._messages():
                pass
        except EOFError:
            pass
        self._process.join(20)
        return self.killed

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.join(20)

    def _messages(self) -> Iterator[Said]:
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            if self._said.poll(left):
                said: Said = self._said.recv()
                if isinstance(said, Wrong):
                    self.wrong.append(said.what)
                yield said

    def __enter__(self) -> "DeviceProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._said.close()
        self._ask.close()


class Site:
    """A broker and a release side with `tiny` 1, which devices have from the factory, and `tiny` 2."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.broker = Broker(folder / "broker")
        self._number, self._lock = 0, threading.Lock()

    def __enter__(self) -> "Site":
        self.broker.start()
        self.side = ReleaseSide(self.folder / "fleet", self.broker.port)
        (self.folder / "root.json").write_bytes(self.side.repository.first_root())
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop()

    @property
    def port(self) -> int:
        """The broker's."""
        return self.broker.port

    def new_folder(self) -> Path:
        """For a device's state."""
        with self._lock:
            self._number += 1
        return self.folder / f"device-{self._number}"


def inspect(folder: Path) -> tuple[State, str]:
    """The state on a stopped device's disk, read as the next start will, and what is wrong with it: nothing is "".

    What has to run must be whole, and a model that was released.
    """
    if not (folder / "state.db").exists():
        return State(), ""
    store = StateStore(folder / "state.db")
    try:
        state = store.update() or State()
    finally:
        store.close()
    if (folder / "state.db.damaged").exists():
        return state, "the database was damaged"
    slots = Slots(folder, FACTORY)
    try:
        slot = running(state)
        model = slots.load(slot) if slot is not None else slots.load_factory()
    except EdgewiseError as error:
        return state, f"in {state.phase} what has to run cannot be loaded: {error}"
    if model is None or model.manifest.digest not in RELEASED:
        return state, f"in {state.phase} what has to run was never released"
    return state, ""


def converge(folder: Path, port: int, target: ModelRef, *, offset: float = 0.0) -> str:
    """Start a device without a fault and wait until it runs the target for good; why it did not, or ""."""
    with DeviceProcess(folder, port, offset=offset) as device:
        try:
            device.until(
                lambda said: said.active == target and said.state == "committed" and said.target == target,
                "committed",
            )
        except (TimeoutError, EOFError) as error:
            return f"it did not converge: {error or 'the process ended'}"
        device.stop()
        if device.wrong:
            return device.wrong[0]
    return kept(folder, target)


def kept(folder: Path, target: ModelRef) -> str:
    """Whether a device that was stopped remembers what it was told; what it forgot, or ""."""
    store = StateStore(folder / "state.db", read_only=True)
    try:
        states, seen = store.desired(), store.seen()
    finally:
        store.close()
    scope = f"group/{GROUP}"
    wanted = states.get(scope)
    if wanted is None:
        return f"the desired state was not kept ({'its envelope counts as seen' if scope in seen else 'nor seen'})"
    known = {wanted.model, wanted.wave.model} if wanted.wave is not None else {wanted.model}
    return "" if target in known else "an older desired state was kept"
