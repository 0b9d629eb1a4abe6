"""For how long two devices are said to have one id, once that was seen: one rule for dashboard, metrics, `fleet ls`."""

from typing import Final

LIFE_S: Final = 2.5 * 3600.0
"""Two of one id come back once an hour each at least (`edge_mqtt.takeover`)."""


def holds(seen: float, now: float) -> bool:
    """Whether what was `seen` then still counts `now`: seconds since 1970, 0 for never.

    A time far ahead is a wrong clock's.
    """
    return seen > 0 and abs(now - seen) <= LIFE_S
