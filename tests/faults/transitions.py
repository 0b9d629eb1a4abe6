"""Rows of one device: a fault at each operation of an update and of a shadow, then a device without one goes on.

An operation is a call that changes a file, or a statement that changes the database, before and after each commit: so
these are all transitions, and each write before, between and after them.
"""

import errno
import os
import queue
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from edge_contract.messages import ModelRef
from tests.agent.update.update_bench import tiny
from tests.faults.device import DeviceProcess, Site, converge, inspect
from tests.faults.operations import Fault, Kind
from tests.faults.row import Row

Way = Literal["update", "shadow"]
"""A release that is pushed; one that is in shadow first."""
WAYS: tuple[Way, ...] = ("update", "shadow")
NEVER = "there was no such operation"
"""What a case says whose named operation never came: it would pass and try nothing."""
_ENOUGH = 6  # operations in a row that fail, then there is room again


class Case:
    """One device, one fault, and what came of it."""

    def __init__(self, site: Site, way: Way) -> None:
        self._site, self._way = site, way
        self.folder = site.new_folder()
        self.target = self._begin()

    def _begin(self) -> ModelRef:
        side = self._site.side
        return side.push(tiny(2)) if self._way == "update" else side.wave(tiny(1), tiny(2), "shadow")

    def _go_on(self) -> None:
        """Let what was in shadow answer."""
        if self._way == "shadow":
            self._site.side.wave(tiny(1), tiny(2), "active")

    def count(self) -> list[str]:
        """The operations of a device without a fault, from its first start to its stop."""
        with DeviceProcess(self.folder, self._site.port) as device:
            self._to_the_end(device)
            return device.stop()

    def killed(self, fault: Fault) -> str:
        """A device that kills itself there, or hangs there and is killed; what is wrong after it, or ""."""
        hung = False
        with DeviceProcess(self.folder, self._site.port, fault) as device:
            try:
                hung = self._to_the_end(device, hangs=fault.kind == "hang")
                if not hung:
                    device.stop(hangs=fault.kind == "hang")  # what it does last has faults too
            except EOFError:
                device.wait_killed()
            if device.wrong:
                return device.wrong[0]
            if fault.named and not (hung or device.killed):
                return NEVER
        return self._afterwards()

    def refused(self, fault: Fault) -> str:
        """A device whose disk refuses there and then works again: it goes on by itself; what is wrong, or ""."""
        with DeviceProcess(self.folder, self._site.port, fault) as device:
            try:
                self._to_the_end(device)
            except (TimeoutError, EOFError) as error:
                return f"it did not go on by itself: {error or 'the process ended'}"
            names = device.stop()
            if device.wrong:
                return device.wrong[0]
            if sum(name.startswith(fault.named) for name in names) <= fault.at and fault.named:
                return NEVER
        return self._afterwards()

    def corrupted(self, fault: Fault, chance: random.Random) -> str:
        """A device that is killed there, and one of whose files is damaged while it is off."""
        with DeviceProcess(self.folder, self._site.port, fault) as device:
            try:
                self._to_the_end(device)
            except EOFError:
                device.wait_killed()
        _damage(self.folder, chance)
        self._go_on()
        return converge(self.folder, self._site.port, self.target)

    def _afterwards(self) -> str:
        _, wrong = inspect(self.folder)
        if wrong:
            return wrong
        self._go_on()
        return converge(self.folder, self._site.port, self.target)

    def _to_the_end(self, device: DeviceProcess, *, hangs: bool = False) -> bool:
        """Until the release answers for good or, with `hangs`, until the device hangs: whether it did."""
        if self._way == "shadow":
            if device.until_hung_or(lambda said: said.state == "shadowing", "in shadow", hangs=hangs):
                return True
            self._go_on()
        return device.until_hung_or(
            lambda said: said.state == "committed" and said.active == self.target, "committed", hangs=hangs
        )


def _damage(folder: Path, chance: random.Random) -> None:
    """Flip bits of, cut off or empty one file, as bad flash does."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if not files:
        return
    path = chance.choice(files)
    data = bytearray(path.read_bytes())
    match chance.randrange(3):
        case 0 if data:
            for _ in range(8):
                place = chance.randrange(len(data))
                if path.name != "state.db" or not 60 <= place < 64:  # a newer agent's number is said, and ends it
                    data[place] ^= 1 << chance.randrange(8)
        case 1:
            del data[len(data) // 2 :]
        case _:
            data.clear()
    path.write_bytes(bytes(data))


@contextmanager
def sites(folder: Path, workers: int) -> Iterator["queue.Queue[Site]"]:
    """Places for devices: one device at a time each."""
    with ExitStack() as stack:
        free: queue.Queue[Site] = queue.Queue()
        for number in range(workers):
            free.put(stack.enter_context(Site(folder / f"site-{number}")))
        yield free


def each(free: "queue.Queue[Site]", row: Row, what: str, cases: Iterable[Callable[[Site], str]], workers: int) -> None:
    """Run the cases, each at a site of its own, and count them in the row as `what`."""

    def run(case: Callable[[Site], str]) -> str:
        site = free.get()
        try:
            return case(site)
        except Exception as error:  # noqa: BLE001  # the other cases go on
            return f"{type(error).__name__}: {error}"
        finally:
            free.put(site)

    with ThreadPoolExecutor(workers) as pool:
        for wrong in pool.map(run, cases):
            row.count(what)
            if wrong:
                row.found.append(wrong)


def faults(folder: Path, *, workers: int = 2, stride: int = 1) -> list[Row]:
    """The rows of kill, hang and error, and of disks that fill, fail, refuse and lie; every `stride`-th operation."""
    killed, disk = Row("kill, error, hang at every write and transition"), Row("disk full, failing, read-only, corrupt")
    with sites(folder, workers) as free:
        for way in WAYS:
            with killed.timed():
                operations = _counted(free, way)
                killed.count("operations", len(operations))
                numbers = range(0, len(operations), stride)
                for kind, what in (("kill", "kills"), ("hang", "hangs"), ("error", "errors")):
                    each(free, killed, what, [_faulty(way, kind, at, operations) for at in numbers], workers)
            with disk.timed():
                for error, what in ((errno.ENOSPC, "full"), (errno.EIO, "failing"), (errno.EROFS, "read_only")):
                    each(
                        free, disk, what,
                        [_refusing(way, Fault("error", at, _ENOUGH, error), operations) for at in numbers[::3]],
                        workers,
                    )  # fmt: skip
                each(free, disk, "corrupt", [_corrupting(way, at) for at in numbers], workers)
    return [killed, disk]


def _counted(free: "queue.Queue[Site]", way: Way) -> list[str]:
    site = free.get()
    try:
        return Case(site, way).count()
    finally:
        free.put(site)


def _faulty(way: Way, kind: str, at: int, names: list[str]) -> Callable[[Site], str]:
    def run(site: Site) -> str:
        case, fault = Case(site, way), Fault(_kind(kind), at)
        wrong = case.refused(fault) if kind == "error" else case.killed(fault)
        return _said(wrong, way, kind, at, names)

    return run


def _refusing(way: Way, fault: Fault, names: list[str]) -> Callable[[Site], str]:
    def run(site: Site) -> str:
        return _said(Case(site, way).refused(fault), way, os.strerror(fault.error), fault.at, names)

    return run


def _corrupting(way: Way, at: int) -> Callable[[Site], str]:
    def run(site: Site) -> str:
        wrong = Case(site, way).corrupted(Fault("kill", at), random.Random(at))  # noqa: S311  # which damage
        return _said(wrong, way, "a damaged file", at, [])

    return run


def _kind(kind: str) -> Kind:
    return "kill" if kind == "kill" else "hang" if kind == "hang" else "error"


def _said(wrong: str, way: Way, kind: str, at: int, names: list[str]) -> str:
    name = f" ({names[at]})" if at < len(names) else ""
    return f"{way}, {kind} at operation {at}{name}: {wrong}" if wrong else ""
