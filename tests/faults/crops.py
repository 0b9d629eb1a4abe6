"""A row of sampled faces: a fault at each operation while crops are stored and sent, and while they are deleted.

Afterwards, whatever happened: what waits on the disk arrives once the device is started again, under its own name and
with its own pixels; no cap is given back; and where the consent is over, no file of crops is left.
"""

import errno
import logging
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_agent.sampling import erasure, sender, window
from edge_agent.sampling.settings import NO_CONSENT
from edge_contract import crop
from edge_contract.crop import CropName
from edge_simulator.broker import Broker
from tests.agent.sampling.field import KEY, Labels, SamplingDevice, nowhere_in, pick
from tests.faults.device import PROCESSES
from tests.faults.operations import Fault, Kind, Operations
from tests.faults.row import Row
from tests.faults.transitions import NEVER

Way = Literal["answered", "withdrawn"]
"""Crops that are sent and answered; crops that wait, unanswered, when their consent is taken back."""
WAYS: tuple[Way, ...] = ("answered", "withdrawn")
FACES = 6
End = Literal["ended", "killed", "hung", ""]
"""How a device's process ended; empty where it failed or got nowhere."""
_ENDS: dict[Kind, End] = {"kill": "killed", "hang": "hung", "error": "ended"}
_PATIENCE_S = 20.0
_STRATA: tuple[crop.Stratum, ...] = ("random", "uncertain", "disagreement")
_KINDS: tuple[tuple[Kind, str], ...] = (("kill", "kills"), ("hang", "hangs"), ("error", "errors"))


def faults(folder: Path, *, stride: int = 1) -> Row:
    """The row: every `stride`-th operation, and disks that fill up, fail and refuse for a while."""
    row = Row("sampled faces: kill, error, hang, bad disk at every write")
    with row.timed():
        for way in WAYS:
            names = _Case(folder / way / "whole", way).names()
            row.count("operations", len(names))
            faulty = [(Fault(kind, at), what) for kind, what in _KINDS for at in range(0, len(names), stride)]
            for error, what in ((errno.ENOSPC, "full"), (errno.EIO, "failing"), (errno.EROFS, "read_only")):
                faulty += [(Fault("error", at, 6, error), what) for at in range(0, len(names), 3 * stride)]
            for number, (fault, what) in enumerate(faulty):
                if wrong := _Case(folder / way / str(number), way).wrong(fault):
                    name = names[fault.at] if fault.at < len(names) else "the end"
                    row.found.append(f"{way}, {fault.kind} ({what}) at operation {fault.at} ({name}): {wrong}")
                row.count(what)
    return row


def wrong_after(folder: Path, way: Way, fault: Fault) -> str:
    """What must not be after one fault, or ""."""
    return _Case(folder, way).wrong(fault)


class _Case:
    """One device, its broker, and where labels are collected."""

    def __init__(self, folder: Path, way: Way) -> None:
        self._folder, self._way = folder, way
        folder.mkdir(parents=True)

    def names(self) -> list[str]:
        """The operations of a device without a fault."""
        with Broker(self._folder / "broker") as broker:
            labels = Labels(broker.port, answers=self._way == "answered")
            names, end = self._run(broker.port, 1, None)
            labels.link.stop()
        assert end == "ended", "a device without a fault did not get there"
        return names

    def wrong(self, fault: Fault) -> str:
        """See `wrong_after`."""
        with Broker(self._folder / "broker") as broker:
            labels = Labels(broker.port, answers=self._way == "answered")
            try:
                names, end = self._run(broker.port, 1, fault)
                if end == "ended" and sum(name.startswith(fault.named) for name in names) <= fault.at:
                    return NEVER
                if end != _ENDS[fault.kind]:
                    return "it did not go on by itself" if fault.kind == "error" else "its process failed"
                if self._way == "withdrawn" and end != "ended":
                    erasure.erase(self._state)  # as a start does whose settings state no consent
                return self._found(broker.port, labels)
            finally:
                labels.link.stop()

    @property
    def _state(self) -> Path:
        return self._folder / "state"

    def _found(self, port: int, labels: Labels) -> str:
        if self._way == "withdrawn":
            left = sorted(path.name for path in self._state.glob("crops.db*"))
            return f"{', '.join(left)} is left after the consent's end" if left else self._sent_wrongly(labels)
        if (self._state / erasure.DAMAGED).exists():
            return "the box was damaged"
        waiting = self._names_in("crop")
        _, end = self._run(port, 2, None, faces=0)
        if end != "ended":
            return "what waited was not answered after a start"
        if missing := waiting - set(labels.crops):
            return f"{len(missing)} crops that waited never came"
        if len(self._names_in("kept")) < len(labels.crops):
            return "a crop was sent that counts for no cap"
        return self._sent_wrongly(labels)

    def _sent_wrongly(self, labels: Labels) -> str:
        contents = defaultdict(set)
        for payload in labels.payloads:
            contents[crop.name_of(payload)].add(payload)
        if labels.damaged or any(len(each) > 1 for each in contents.values()):
            return "two crops came under one name, or one that is none"
        pixels = {pick(number).shown.pixels.tobytes(): number for number in range(FACES)}
        if any(each.pixels not in pixels for each in labels.crops.values()):
            return "a crop came with other pixels than were picked"
        if len({each.pixels for each in labels.crops.values()}) < len(labels.crops):
            return "one face came twice"
        return nowhere_in([each[:8] for each in pixels], self._folder)() and "pixels lie open on the disk"

    def _names_in(self, table: str) -> set[CropName]:
        """Of crops that wait; of those that count for a cap the number alone is known."""
        path = self._state / erasure.NAME
        if not path.exists():
            return set()
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            if table == "crop":
                return {CropName(*row) for row in database.execute("SELECT session, sequence FROM crop")}
            return {CropName(0, number) for (number,) in database.execute("SELECT rowid FROM kept")}

    def _run(self, port: int, session: int, fault: Fault | None, *, faces: int = FACES) -> tuple[list[str], End]:
        """A device as a process, until all is answered or gone, or until its fault: its operations, and its end."""
        said, tell = PROCESSES.Pipe(duplex=False)
        arguments = (tell, self._folder, port, session, faces, self._way, fault, KEY.private_bytes_raw())
        process = PROCESSES.Process(target=_device, args=arguments, daemon=True)
        process.start()
        tell.close()
        names: list[str] = []
        end: End = ""
        try:
            if said.poll(_PATIENCE_S):
                names, end = said.recv()
        except EOFError:
            process.join(20)
            end = "killed" if process.exitcode == -signal.SIGKILL else ""
        finally:
            process.kill()
            process.join(20)
            said.close()
        return names, end


def _device(
    tell: Connection, folder: Path, port: int, session: int, faces: int, way: Way, fault: Fault | None, key: bytes
) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(window, "RESEND_S", 0.3)
    patch.setattr(window, "LONGEST_RESEND_S", 0.6)
    patch.setattr(sender, "_LOOK_S", 0.1)
    patch.setattr(sender, "_FAILED_S", 0.1)
    logging.disable(logging.CRITICAL)  # what it says of its disk, a thousand times
    operations = Operations(folder / "state", fault, lambda: tell.send(([], "hung")))
    operations.watch(patch)
    private = X25519PrivateKey.from_private_bytes(key)
    device = _started(lambda: SamplingDevice(folder, port, session=session, key=private))
    device.link.start()
    for number in range(faces):
        device.sender.send(pick(number, _STRATA[number % len(_STRATA)]))
    _until(lambda: sum(device.sender.counters().values()) >= faces)  # kept or lost
    if way == "withdrawn":
        device.permission.reloaded(NO_CONSENT)
        _until(lambda: not any(device.folder.glob("crops.db*")))
    else:
        _until(lambda: device.rows == 0 and not device.sender.trouble)
    device.stop()
    patch.undo()
    tell.send((operations.names, "ended"))


def _started(make: Callable[[], SamplingDevice]) -> SamplingDevice:
    """As the agent, which samples nothing where its disk refuses, and is started again."""
    while True:
        try:
            return make()
        except (sqlite3.Error, OSError):
            time.sleep(0.05)


def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.02)
