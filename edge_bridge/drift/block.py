"""Tracks of the same minutes, gathered until they are judged together: at most `TRACKS`, or `SECONDS`."""

from array import array
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from edge_bridge.drift.tracks import BUCKETS, Cells
from edge_bridge.drift.week import part_of
from edge_contract.metrics import DeviceGauge

TRACKS: Final = 32
SECONDS: Final = 1800.0

GAUGES: Final = (
    DeviceGauge.FACE_BRIGHTNESS, DeviceGauge.FACE_CONTRAST, DeviceGauge.FACE_SHARPNESS, DeviceGauge.FACE_PIXELS,
    DeviceGauge.FACE_ROLL_DEGREES, DeviceGauge.BRIGHTNESS, DeviceGauge.CONTRAST, DeviceGauge.SHARPNESS,
    DeviceGauge.FACELESS,
)  # fmt: skip
"""What is known of the pictures; a cause is told by them."""
READINGS: Final = 8 * 2 * len(GAUGES)
"""Bytes of `Block.readings`."""


class Block(Struct, frozen=True):
    """See the module. An empty one has no tracks."""

    start: float = 0.0
    end: float = 0.0
    cells: bytes = b""
    """`tracks.Cells`, one byte each."""
    sure: int = 0
    readings: bytes = b""
    """64-bit floats, of each of `GAUGES`: the sum over tracks of what it showed, and the number of these tracks."""

    @property
    def part(self) -> int:
        """Of the week."""
        return part_of(self.start)

    def takes(self, time: float) -> bool:
        """Whether tracks of this time belong to it."""
        if not self.cells:
            return True
        near = 0 <= time - self.start < SECONDS and part_of(time) == self.part
        return near and len(self.cells) < TRACKS

    def counts(self, labels: int) -> list[float]:
        """Tracks by label."""
        found = [0.0] * labels
        for cell in self.cells:
            found[cell // BUCKETS] += 1
        return found

    def shown(self) -> list[float | None]:
        """What each of `GAUGES` showed, as the mean over tracks; None where it was not sent."""
        if not self.readings:
            return [None] * len(GAUGES)
        readings = array("d", self.readings)
        pairs = zip(readings[::2], readings[1::2], strict=True)
        return [total / tracks if tracks else None for total, tracks in pairs]


def with_tracks(block: Block, time: float, cells: Cells, sure: int, gauges: Mapping[str, float]) -> Block:
    """The block with a window's tracks; `time` is the window's end, in seconds since 1970."""
    readings = array("d", block.readings or bytes(READINGS))
    for place, gauge in enumerate(GAUGES):
        value = gauges.get(gauge)
        if value is not None:
            readings[2 * place] += value * len(cells)
            readings[2 * place + 1] += len(cells)
    start = block.start if block.cells else time
    return Block(start, max(time, start), block.cells + bytes(cells), block.sure + sure, readings.tobytes())
