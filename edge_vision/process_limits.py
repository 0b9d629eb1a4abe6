"""What a process may use that runs a model nobody vouches for: processor time, memory, files.

A process puts the limits on itself, for good, before the model is loaded. What passes one ends that process or fails
an allocation in it, and never takes the machine.
"""

import os
import re
import resource
from pathlib import Path
from typing import Final

SLACK: Final = 96 * 1024 * 1024
"""Bytes beside a model's own budget before an allocation fails: arenas and packed weights."""

_INHERITED: Final = frozenset({"PATH", "PYTHONPATH", "LANG", "QEMU_CPU"})
"""The last chooses the processor where a board is emulated: QEMU's own choice computes int8 models wrongly."""
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""numpy's worker threads, which nothing here uses, allocate when they first run: on a busy board that was after the
memory limit, and they crashed (1 self-test in 140)."""


def environment() -> dict[str, str]:
    """The environment variables of such a process."""
    return {key: value for key, value in os.environ.items() if key in _INHERITED} | _ONE_THREAD


def limit_process(cpu_seconds: int) -> None:
    """Seconds of processor time, no core file, and nothing written but to pipes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))


def limit_memory(budget: int) -> None:
    """Let this process's data grow by a model's budget and `SLACK`; then allocations fail.

    A budget is what a package says of itself: more than half of this machine's memory is given to none.
    """
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    grown = status_bytes("VmData") + min(budget + SLACK, half)
    resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))


def status_bytes(field: str) -> int:
    """A size of this process as the kernel states it, such as `VmRSS`."""
    found = re.search(rf"^{field}:\s+([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
