"""When to try the broker again: the states of a connection and its waits, with their reasons. Pure."""

import enum
from typing import Final

RECONNECT_FIRST_S: Final = 1.0
"""The first wait, up to halved by jitter, so that a restarted broker is not met by its whole fleet at once."""
RECONNECT_LONGEST_S: Final = 60.0
"""The longest wait: a device is back at most a minute after its broker."""
STABLE_S: Final = 30.0
"""A connection that broke sooner is a failure: two devices with one id then throw each other out ever less often."""


class LinkState(enum.Enum):
    """Where the connection stands."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    """Between two attempts; each failure doubles the wait."""


def failures_after(failures: int, held: float) -> int:
    """Failures in a row after a connection that stood for `held` seconds; 0 seconds is one that never stood."""
    return 0 if held >= STABLE_S else failures + 1


def reconnect_wait(failures: int, jitter: float) -> float:
    """Seconds to wait after `failures` in a row; `jitter` is uniform in [0, 1)."""
    wait = min(RECONNECT_LONGEST_S, RECONNECT_FIRST_S * 2.0 ** min(max(failures - 1, 0), 16))
    return wait * (0.5 + jitter / 2)
