"""Windows of the day in which a wave may begin: `HH:MM-HH:MM` in UTC, over midnight too. Pure."""

from collections.abc import Sequence
from typing import Final

_DAY_S: Final = 24 * 3600


def within(windows: Sequence[str], now: float) -> bool:
    """Whether a time, in seconds since 1970, lies within one of them; none means always."""
    return not windows or any(_holds(window, now % _DAY_S) for window in windows)


def _holds(window: str, second: float) -> bool:
    begin, end = (_second(time) for time in window.split("-"))
    return begin <= second < end if begin < end else second >= begin or second < end


def _second(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 3600 + int(minutes) * 60
