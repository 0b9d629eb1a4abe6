"""What this board tells under /proc and /sys: temperature, throttling, memory, model. Missing is not an error."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import NOW

_ZONE: Final = "sys/class/thermal/thermal_zone0/temp"
_THROTTLED: Final = "sys/devices/platform/soc/soc:firmware/get_throttled"
"""Raspberry Pi firmware: a bit mask in hexadecimal; see `throttling`."""


class Board:
    """One machine. It keeps the last reading of its processor time, for the rate since then."""

    def __init__(
        self,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`root`: what stands for `/`; `cpu`: seconds of processor time this process has used."""
        self._root, self._monotonic, self._cpu = root, monotonic, cpu
        self._last = (monotonic(), cpu())

    def gauges(self) -> dict[DeviceGauge, float]:
        """What can be measured here, at this moment."""
        throttled = self.throttled()
        found = {
            DeviceGauge.TEMPERATURE_CELSIUS: self._scaled(_ZONE, 0.001),
            DeviceGauge.THROTTLED: None if throttled is None else float(throttled & NOW),
            DeviceGauge.RSS_BYTES: self._rss(),
            DeviceGauge.MEMORY_AVAILABLE_BYTES: self._available(),
            DeviceGauge.CPU_SHARE: self._cpu_share(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def throttled(self) -> int | None:
        """The firmware's whole mask, for `throttling`; None where there is no such firmware."""
        try:
            return int(self._text(_THROTTLED), 16)
        except ValueError:
            return None

    def model(self) -> str:
        """The board's name, such as "Raspberry Pi 4 Model B Rev 1.4", or what stands in for one."""
        named = self._text("proc/device-tree/model") or self._text("sys/class/dmi/id/product_name")
        return (named or os.uname().machine).strip("\0\n ")[:200]

    def system(self) -> str:
        """The operating system's name, such as "Debian GNU/Linux 12 (bookworm)"."""
        for line in self._text("etc/os-release").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')[:200]
        return f"{os.uname().sysname} {os.uname().release}"

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(errors="replace")
        except OSError:
            return ""

    def _scaled(self, path: str, scale: float) -> float | None:
        try:
            return float(self._text(path)) * scale
        except ValueError:
            return None

    def _rss(self) -> float | None:
        fields = self._text("proc/self/statm").split()
        return float(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 and fields[1].isdecimal() else None

    def _available(self) -> float | None:
        for line in self._text("proc/meminfo").splitlines():  # hidden under systemd's ProcSubset=pid
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                return float(rest.split()[0]) * 1024
        return None

    def _cpu_share(self) -> float:
        """Processor seconds per second since the last reading."""
        (then, used), now = self._last, (self._monotonic(), self._cpu())
        self._last = now
        return (now[1] - used) / (now[0] - then) if now[0] > then else 0.0
