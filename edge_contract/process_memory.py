"""What this process keeps in memory that it need not: heaps of idle threads, and library code that only starting runs.

Measures for a board with little memory and for a bridge of many devices, all of glibc and Linux; elsewhere they do
nothing. `docs/agent-cost.md` has what they gain on a board, and what else was tried.
"""

import ctypes
import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_M_ARENA_MAX: Final = -8  # malloc.h
_MADV_DONTNEED: Final = 4  # sys/mman.h
_SMAPS: Final = Path("/proc/self/smaps")


class Mapping(NamedTuple):
    """One stretch of this process's addresses."""

    start: int
    end: int
    access: str
    """Such as "r-xp": readable, executable, private."""
    file: str
    """Empty where no file is behind it."""
    own_kib: int
    """KiB of it that exist in this process alone and would be lost: data, and relocated addresses of libraries."""

    @property
    def rereadable(self) -> bool:
        """Every page of it is its file's, unchanged: what is forgotten is found again on the next access."""
        return self.file.startswith("/") and "w" not in self.access and self.access.endswith("p") and not self.own_kib


def share_one_heap() -> None:
    """Let all threads allocate from one heap instead of one each, for their free space serves no other thread.

    Threads of Python allocate in turns anyway. Call it before there are threads.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (AttributeError, OSError):
        return


def forget_start_up() -> int:
    """Drop library pages that starting has touched from this process, and give free heap back; bytes of pages dropped.

    The kernel keeps such pages for as long as a process maps them and nothing presses; most are never run again. They
    stay in the page cache, unmapped, where they are the first to be given to other processes, and come back by
    themselves when they are run after all. Call it before the threads that work are started: were one to unload a
    library meanwhile, its addresses might belong to something else.
    """
    gc.collect()
    try:
        libc = ctypes.PyDLL(None)  # holds the interpreter's lock during the call
        libc.malloc_trim(0)
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        mappings = [mapping for mapping in read_mappings(_SMAPS.read_text().splitlines()) if mapping.rereadable]
    except (AttributeError, OSError):
        return 0
    return sum(
        mapping.end - mapping.start
        for mapping in mappings
        if libc.madvise(mapping.start, mapping.end - mapping.start, _MADV_DONTNEED) == 0
    )


def give_back() -> None:
    """Give free heap back to the system: after something large that comes seldom. Other threads go on meanwhile."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return


def read_mappings(smaps: Iterable[str]) -> Iterator[Mapping]:
    """The mappings of an smaps file; one whose share of own pages is not given counts as all its own."""
    current: Mapping | None = None
    for line in smaps:
        name, _, rest = line.partition(" ")
        if name.endswith(":"):
            if current is not None and name == "Anonymous:":
                current = current._replace(own_kib=int(rest.split()[0]))
            continue
        if current is not None:
            yield current
        start, _, end = name.partition("-")
        access, _offset, _device, _inode, *file = rest.split(maxsplit=4)
        first, last = int(start, 16), int(end, 16)
        current = Mapping(first, last, access, file[0].strip() if file else "", (last - first) // 1024)
    if current is not None:
        yield current
