"""How many cores this process may use: by its affinity and, in a container or a service, by its share of them."""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def usable(affinity: int | None = None, groups: Path = _CONTROL_GROUPS, own: Path = _OWN) -> int:
    """At least 1. A share of one and a half cores is two: the second is used half of the time."""
    most = float(affinity or _affinity())
    for quota, period in _quotas(groups, own):
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max", or -1: no limit
            if (share := int(quota) / int(period)) > 0:
                most = min(most, share)
    return max(1, math.ceil(most))


def _affinity() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(groups: Path, own: Path) -> Iterator[tuple[str, str]]:
    """Microseconds of the processor, and in how many: of this process's groups, the outermost too."""
    with contextlib.suppress(OSError, ValueError):  # version 1, or none
        yield _text(groups / "cpu" / "cpu.cfs_quota_us"), _text(groups / "cpu" / "cpu.cfs_period_us")
    try:
        named = next((line[3:] for line in _text(own).splitlines() if line.startswith("0::/")), "/")
    except (OSError, ValueError):
        named = "/"
    group = groups / named.lstrip("/")
    for folder in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):
            quota, period = _text(folder / "cpu.max").split()
            yield quota, period
        if folder == groups:
            return


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii").strip()
