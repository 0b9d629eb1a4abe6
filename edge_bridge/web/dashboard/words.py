"""Values as people read them, the same on every page."""

from datetime import UTC, datetime
from typing import Final

from edge_bridge.fleet import record
from edge_contract.messages import ModelRef

NOTHING: Final = "\N{EN DASH}"
"""Where there is no value."""


def ago(seconds: float) -> str:
    """A time span for people."""
    if seconds < 5:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def moment(unix: float) -> str:
    """A time of day on the bridge's own clock and zone, with its day."""
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%d %b %H:%M:%S") if unix > 0 else NOTHING


def clock(unix: float) -> str:
    """A time of day alone."""
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%H:%M:%S")


def zone() -> str:
    """The bridge's time zone."""
    return datetime.now(UTC).astimezone().strftime("UTC%z").replace("UTC+0000", "UTC")


def milliseconds(seconds: float | None) -> str:
    """A latency."""
    return NOTHING if seconds is None else f"{seconds * 1000:.1f} ms"


def per_cent(share: float | None, digits: int = 0) -> str:
    """A share."""
    return NOTHING if share is None else f"{share * 100:.{digits}f} %"


def model(ref: ModelRef | None) -> str:
    """A release."""
    return NOTHING if ref is None else record.short(ref)


def size(count: float) -> str:
    """Bytes."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count:.0f} bytes"


def counted(count: int, thing: str) -> str:
    """A number with its noun."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
