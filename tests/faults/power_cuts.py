"""The row of power cuts: each prefix of what one update did to its disk, with what was not synced dropped or kept.

`strace` records the system calls of a real device and its children, SQLite's among them. A disk that promises no more
than POSIX is then replayed up to each call: of what was written since a file's last sync, and of the names given and
deleted since a directory's, it has nothing, everything, or an arbitrary part; a rename is there or not. Each disk must
be one that a device starts from with a whole, released model, and a sample of them is started until it converges.
"""

import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from msgspec import json

from edge_contract.messages import ModelRef, Reported
from tests.agent.update.update_bench import tiny
from tests.faults.device import Site, converge, inspect
from tests.faults.row import Row
from tests.faults.transitions import each

_CALLS: Final = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,symlink,symlinkat"
)
_LINE: Final = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED: Final = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED: Final = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)")
_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?|(?:AT_FDCWD|\d+)<([^>]*)>|([A-Z0-9_|x-]+)')
Survives = Literal["nothing", "everything", "part"]


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and bytes written there; None for a truncation to that length."""

    def after_a_cut(self, keep: Callable[[], bool]) -> bytes:
        content = bytearray(self.synced)
        for change in self.pending:
            if keep():
                _apply(content, change)
        return bytes(content)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.synced, change)
        self.pending.clear()

    @property
    def size(self) -> int:
        return len(self.after_a_cut(lambda: True))


@dataclass
class _Link:
    target: str


@dataclass
class _Directory:
    live: dict[str, "_Node"] = field(default_factory=dict)
    synced: dict[str, "_Node"] = field(default_factory=dict)
    pending: list[dict[str, "_Node | None"]] = field(default_factory=list)
    """Each what names become at once; None is deleted."""

    def change(self, names: dict[str, "_Node | None"]) -> None:
        self.pending.append(names)
        _rename(self.live, names)

    def sync(self) -> None:
        for names in self.pending:
            _rename(self.synced, names)
        self.pending.clear()

    def after_a_cut(self, keep: Callable[[], bool]) -> dict[str, "_Node"]:
        names = dict(self.synced)
        for change in self.pending:
            if keep():
                _rename(names, change)
        return names


_Node = _File | _Directory | _Link
Call = tuple[str, tuple[str | bytes, ...], int]


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _rename(names: dict[str, _Node], change: dict[str, "_Node | None"]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """A disk to which recorded calls are done; only what lies under `root` is on it."""

    def __init__(self, root: Path) -> None:
        self._root, self._top = root, _Directory()

    def do(self, call: Call) -> bool:  # noqa: C901, PLR0912  # one case a system call
        """Whether it changed or synced something of this disk."""
        name, arguments, result = call
        paths = [Path(each) for each in arguments if isinstance(each, str) and each.startswith(str(self._root) + "/")]
        at_top = any(each == str(self._root) for each in arguments)
        if result < 0 or not (paths or (at_top and name in {"fsync", "fdatasync"})):
            return False
        match name:
            case "fsync" | "fdatasync":
                node = self._top if at_top else self._find(paths[0])
                if isinstance(node, _File | _Directory):
                    node.sync()
            case "openat":
                return self._opened(paths[0], str(arguments[-2] if "|" in str(arguments[-2]) else arguments[-1]))
            case "write" | "pwrite64":
                data = next(each for each in arguments if isinstance(each, bytes))
                node = self._find(paths[0])
                if not isinstance(node, _File) or paths[0].name.endswith("-shm"):
                    return False
                node.pending.append((int(str(arguments[-1])) if name == "pwrite64" else node.size, data[:result]))
            case "ftruncate":
                node = self._find(paths[0])
                if not isinstance(node, _File):
                    return False
                node.pending.append((int(str(arguments[-1])), None))
            case "mkdir" | "mkdirat":
                self._parent(paths[-1]).change({paths[-1].name: _Directory()})
            case "symlink" | "symlinkat":
                self._parent(paths[-1]).change({paths[-1].name: _Link(str(arguments[0]))})
            case "link" | "linkat":
                self._parent(paths[-1]).change({paths[-1].name: self._known(paths[0])})
            case "rename" | "renameat" | "renameat2":
                old, new = paths[0], paths[-1]
                self._parent(new).change({old.name: None, new.name: self._known(old)})
            case "unlink" | "unlinkat" | "rmdir":
                self._parent(paths[-1]).change({paths[-1].name: None})
            case _:
                return False
        return True

    def after_a_cut(self, folder: Path, keep: Callable[[], bool]) -> None:
        """Make what is on it in a folder."""
        self._make(self._top, folder, keep)

    def _make(self, directory: _Directory, folder: Path, keep: Callable[[], bool]) -> None:
        folder.mkdir()
        for name, node in directory.after_a_cut(keep).items():
            match node:
                case _Directory():
                    self._make(node, folder / name, keep)
                case _Link(target):
                    (folder / name).symlink_to(target)
                case _File():
                    if not name.endswith("-shm"):  # SQLite's index of its log: made again after a power cut
                        (folder / name).write_bytes(node.after_a_cut(keep))

    def _opened(self, path: Path, flags: str) -> bool:
        if "O_CREAT" in flags and self._find(path) is None:
            self._parent(path).change({path.name: _File()})
            return True
        node = self._find(path)
        if "O_TRUNC" in flags and isinstance(node, _File):
            node.pending.append((0, None))
            return True
        return False

    def _find(self, path: Path) -> _Node | None:
        node: _Node | None = self._top
        for name in path.relative_to(self._root).parts:
            node = node.live.get(name) if isinstance(node, _Directory) else None
        return node

    def _known(self, path: Path) -> _Node:
        node = self._find(path)
        assert node is not None, f"{path} was never made"
        return node

    def _parent(self, path: Path) -> _Directory:
        node = self._find(path.parent)
        assert isinstance(node, _Directory), f"{path.parent} was never made"
        return node


def record(site: Site, folder: Path) -> tuple[list[Call], ModelRef]:
    """What a device does to its disk from its first start to a committed update."""
    target, said = site.side.push(tiny(2)), site.folder / "strace"
    command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "200000", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    victim = [sys.executable, "-m", "tests.agent.update.update_victim", str(folder), str(site.port)]
    folder.mkdir()
    process = subprocess.Popen([*command, "-o", str(said), *victim], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            reported = json.decode(line, type=Reported)
            if reported.state == "committed" and reported.active == target:
                break
    finally:
        # What strace watches, not strace: that writes down the end of it.
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        process.wait(20)
        process.stdout.close()
    return list(calls(said)), target


def calls(path: Path) -> Iterator[Call]:
    """The calls of a record, in the order in which they ended."""
    begun: dict[str, str] = {}
    with path.open() as file:
        for line in file:
            if found := _UNFINISHED.match(line.rstrip("\n")):
                begun[found[1]] = found[3]
            elif found := _RESUMED.match(line):
                yield found[2], _arguments(begun.pop(found[1], "") + found[3]), int(found[4])
            elif found := _LINE.match(line):
                yield found[2], _arguments(found[3]), int(found[4])


def _arguments(text: str) -> tuple[str | bytes, ...]:
    """Paths and numbers as text, data as bytes; a name relative to a directory comes as its whole path."""
    found: list[str | bytes] = []
    for token in _TOKEN.finditer(text):
        quoted, _, described, plain = token.groups()
        if quoted is not None:
            data = _unescaped(quoted)
            beside = found[-1] if found else None
            if isinstance(beside, str) and beside.startswith("/") and not data.startswith(b"/") and len(data) < 256:
                found.append(f"{beside}/{data.decode(errors='replace')}")
                found.append(data)
            else:
                found.append(data)
                if data.startswith(b"/") and len(data) < 4096:
                    found.append(data.decode(errors="replace"))
        else:
            found.append(_unescaped(described).decode(errors="replace") if described is not None else plain)
    return tuple(found)


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def _prefix(recorded: list[Call], root: Path, upto: int, survives: Survives, seed: int, folder: Path) -> None:
    disk = Disk(root)
    for call in recorded[:upto]:
        disk.do(call)
    chance = random.Random(seed)  # noqa: S311  # what survives
    keep = {"nothing": lambda: False, "everything": lambda: True, "part": lambda: chance.random() < 0.5}[survives]
    disk.after_a_cut(folder, keep)


def prefixes(folder: Path, *, workers: int = 2, parts: int = 3, starts: int = 40, stride: int = 1) -> Row:
    """The row. `parts`: arbitrary parts tried of each prefix; `starts`: disks that a device is started from."""
    row = Row("every prefix of the file operations, unsynced writes dropped")
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: run `sudo apt-get install --no-install-recommends strace`")
    folder.mkdir(parents=True, exist_ok=True)
    with row.timed(), Site(folder / "site") as site:
        root = site.new_folder()
        recorded, target = record(site, root)
        disk, relevant = Disk(root), []
        for number, call in enumerate(recorded):
            if disk.do(call):
                relevant.append(number + 1)
        row.count("operations", len(relevant))
        last = -1
        chosen = random.Random(1).sample(relevant, min(starts, len(relevant)))  # noqa: S311
        ways: list[tuple[Survives, int]] = [("nothing", 0), ("everything", 0), *(("part", n) for n in range(parts))]
        for upto in relevant[::stride]:
            for survives, seed in ways:
                made = folder / "disk"
                _prefix(recorded, root, upto, survives, seed + upto, made)
                state, wrong = inspect(made)
                row.count("disks")
                if wrong:
                    row.found.append(f"after {upto} calls with {survives} of the rest: {wrong}")
                if survives == "nothing":
                    rank = _rank(state.phase)
                    if rank < last:
                        row.found.append(f"after {upto} calls a state that had been written is gone: {state.phase}")
                    last = rank
                shutil.rmtree(made)
        free: queue.Queue[Site] = queue.Queue()
        free.put(site)
        each(free, row, "starts", [partial(_start, recorded, root, upto, target) for upto in sorted(chosen)], 1)
    return row


_ORDER: Final = ("idle", "offered", "downloading", "verifying", "staged", "selftest", "activating", "probation",
                 "committed")  # fmt: skip


def _rank(phase: str) -> int:
    return _ORDER.index(phase)


def _start(recorded: list[Call], root: Path, upto: int, target: ModelRef, site: Site) -> str:
    folder = site.new_folder()
    _prefix(recorded, root, upto, "part", upto, folder)
    wrong = converge(folder, site.port, target)
    return f"after {upto} calls with a part of the rest: {wrong}" if wrong else ""
