"""How far a device's clock is from the bridge's, told from messages that come at once. Pure.

A window says when it ended by the device's clock; it arrives a moment later. The difference is the skew less the way
here, so of several the largest is nearest to the skew. A window that waited in the device's spool says nothing: where a
device says that what it sent waits to be acknowledged, nothing is told until that is over.
"""

from typing import Final

from edge_contract.messages import Reading, Telemetry
from edge_contract.metrics import DeviceGauge

SAMPLES: Final = 5
"""Windows looked at: how long a clock that is set back is still shown as it was."""
NEEDED: Final = 3
"""Of these: one window may come late before its device knows that nothing is acknowledged."""
LAG_S: Final = 15.0
"""Age of the oldest message not acknowledged up to which windows are sent at once."""
ROWS: Final = 3
"""The same in messages, of an agent that does not tell the age."""


def observed(before: tuple[Reading, ...], message: Telemetry, now: float) -> tuple[Reading, ...]:
    """The device's clock less the bridge's at the last arrivals, in seconds, newest last; `message` is a new window."""
    lag, rows = message.gauges.get(DeviceGauge.ACK_LAG_SECONDS), message.gauges.get(DeviceGauge.SPOOL_ROWS)
    at_once = lag <= LAG_S if lag is not None else rows is not None and rows <= ROWS
    return (*before, message.end - now)[-SAMPLES:] if at_once else ()


def skew(samples: tuple[Reading, ...]) -> float | None:
    """Seconds that the device's clock is ahead; None where it cannot be told."""
    return max(samples) if len(samples) >= NEEDED else None
