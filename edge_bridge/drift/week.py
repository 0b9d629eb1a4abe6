"""Parts of the week: like hours are compared with like. A room at noon shows other faces and other light than at night.

Six parts of four hours, apart for working days and weekends, by UTC: any fixed division does, wherever the room is.
"""

from typing import Final

DAY_PARTS: Final = 6
PARTS: Final = 2 * DAY_PARTS
_FIRST_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; Monday is 0


def part_of(time: float) -> int:
    """Which part of the week a time is in, 0 to `PARTS` - 1; `time` is seconds since 1970."""
    days, seconds = divmod(time, 86400)
    weekend = (int(days) + _FIRST_WEEKDAY) % 7 >= 5
    return DAY_PARTS * weekend + int(seconds * DAY_PARTS / 86400)


def day_part(part: int) -> int:
    """The hours of the day, whatever the day: light goes by them."""
    return part % DAY_PARTS
