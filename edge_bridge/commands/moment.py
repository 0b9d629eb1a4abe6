"""Times as people give and read them: a day, a time of a day, or how long ago; local unless a zone is said. Pure."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from edge_contract.errors import UsageError

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str, option: str, now: datetime) -> float:
    """Seconds since 1970 of `2026-11-28`, `2026-11-28T20:00`, `2026-11-28T20:00:30Z` or `2h` ago.

    `now` has the zone in which a time without one is meant.

    Raises:
        UsageError: it is no time; the text names `option`.
    """
    if ago := _AGO.fullmatch(text):
        return (now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])).timestamp()
    try:
        found = datetime.fromisoformat(text)
        # Of a time in a zone that is meant by place, the offset of that day counts, not that of today.
        seconds = found.timestamp() if found.tzinfo is not None else _in_zone(found, now.tzinfo).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        remedy = "write it as 2026-11-28, 2026-11-28T20:00, 2026-11-28T20:00Z, or 2h for two hours ago"
        raise UsageError(f"{option} {text!r} is no time", remedy=remedy) from error
    return seconds


def shown(seconds: float, *, utc: bool) -> str:
    """To the second, in UTC or in local time."""
    zone = UTC if utc else None
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def zone_name(seconds: float, *, utc: bool) -> str:
    """Which time `shown` shows then: `UTC`, or local time with its offset."""
    if utc:
        return "UTC"
    offset = datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%z")
    return f"local time (UTC{offset[:3]}:{offset[3:5]})"


def _in_zone(naive: datetime, zone: tzinfo | None) -> datetime:
    return naive.replace(tzinfo=UTC) if zone is UTC else naive.astimezone()
