"""How much memory a process has in RAM over time, as the kernel adds it up in /proc/PID/smaps_rollup."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading, in megabytes of a million bytes."""

    seconds: float
    """Since the process was started."""
    frames: int
    """Of those that its telemetry had counted."""
    resident: float
    """Every page it maps, shared or not."""
    proportional: float
    """Pages that several processes map are counted in parts."""
    anonymous: float
    """Pages with no file behind them: what no other process and no page cache could ever share."""


def read(pid: int, seconds: float, frames: int) -> Sample:
    """Read it now.

    Raises:
        OSError: the process has ended.
    """
    fields = {
        name: int(rest.split()[0]) * 1024 / 1e6
        for name, _, rest in (
            line.partition(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        )
    }
    if "Rss" not in fields:
        raise ProcessLookupError(f"process {pid} has ended")
    return Sample(seconds, frames, fields["Rss"], fields["Pss"], fields["Anonymous"])


@dataclass(frozen=True, slots=True)
class Memory:
    """Readings of one process from its start to its end."""

    samples: list[Sample]

    def at_end(self) -> dict[str, float]:
        """Median of the last readings, without the very last: the process may have been ending."""
        last = self.samples[-12:-2] or self.samples
        return {
            name: round(statistics.median(getattr(sample, field) for sample in last), 1)
            for name, field in (("rss_mb", "resident"), ("pss_mb", "proportional"), ("anonymous_mb", "anonymous"))
        }

    def growth_by_frames(self, frames: int) -> float:
        """Resident megabytes at the end of so many frames minus those after a tenth of them."""
        return self._growth(frames, lambda sample: sample.frames)

    def growth_by_time(self, seconds: float) -> float:
        """Resident megabytes at the end of so many seconds minus those after a tenth of them."""
        return self._growth(seconds, lambda sample: sample.seconds)

    def _growth(self, whole: float, at: Callable[[Sample], Any]) -> float:
        """Between medians of a twentieth each."""

        def around(share: float) -> float:
            near = [sample.resident for sample in self.samples if share * whole <= at(sample) <= (share + 0.05) * whole]
            return statistics.median(near or [self.samples[-1].resident])

        return round(around(0.95) - around(0.10), 2)
