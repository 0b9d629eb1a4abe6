"""The words of a plan: durations, shares, sizes of waves and times of day, as people write them."""

import re
from decimal import Decimal
from typing import Final

from edge_contract.errors import UsageError
from edge_contract.visible import visible
from edge_contract.wave import CANARIES
from edge_fleet.rollout.plans.plan import WaveSize

_UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,400})?)s)?", re.ASCII)
_PERCENT: Final = re.compile(r"(\d{1,9}(?:\.\d{1,30})?)\s?%", re.ASCII)
_DEVICES: Final = re.compile(r"\d{1,9}", re.ASCII)
_WINDOW: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)


def duration(value: object, key: str) -> float:
    """Seconds of "1h30m", or of a number of seconds.

    Raises:
        UsageError: it is no duration.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(min(value, 2**63))  # one with hundreds of digits is no float
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if found is None:
        raise UsageError(f"{key} {shown(value)} is no duration", remedy='write one such as "90s", "30m" or "24h"')
    return sum(float(count) * seconds for count, seconds in zip(found.groups(), _UNITS.values(), strict=True) if count)


def in_words(seconds: float) -> str:
    """The duration as `duration` reads it: "1h30m"."""
    if seconds != int(seconds) or seconds <= 0:
        return f"{Decimal(repr(abs(seconds))).normalize():f}s"
    words, left = "", int(seconds)
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        words += f"{count}{unit}" if count else ""
    return words


def share(value: object, key: str) -> float:
    """Of "10%", or of 0.1.

    Raises:
        UsageError: it is none.
    """
    part = _percent(value) if isinstance(value, str) else value
    if isinstance(part, bool) or not isinstance(part, int | float):
        raise UsageError(f"{key} {shown(value)} is no share", remedy='write one such as "10%" or 0.1')
    if not 0 <= part <= 1:
        raise UsageError(f"{key} {shown(value)} is not between 0 and 100 %", remedy="correct this value")
    return float(part)


def _percent(text: str) -> float | None:
    found = _PERCENT.fullmatch(text.strip())
    return float(Decimal(found[1]) / 100) if found else None


def wave_size(value: object) -> WaveSize:
    """Of "5" or 5 devices, of "10%" or 0.1 of the group.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, str) and _DEVICES.fullmatch(value.strip()):
        value = int(value)
    part = _percent(value) if isinstance(value, str) else value if isinstance(value, float) else None
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise UsageError(f"a wave of {value} is none", remedy="leave it out")
        if value > CANARIES:
            raise UsageError(f"a wave names at most {CANARIES} devices, not {value}", remedy='write a share, as "10%"')
        return WaveSize(devices=value)
    if part is None or not part >= 0:
        raise UsageError(
            f"{shown(value)} is no size of a wave", remedy='write devices, such as "5", or a share, such as "10%"'
        )
    if part == 0:
        raise UsageError("a wave of 0% is none", remedy="leave it out")
    if part > 1:
        raise UsageError(f"a wave of {shown(value)} is more than everyone", remedy='the last wave is "100%"')
    return WaveSize(share=part)


def window(value: object) -> str:
    """`HH:MM-HH:MM`, over midnight too.

    Raises:
        UsageError: it is none.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not _WINDOW.fullmatch(text) or text[:5] == text[6:]:
        raise UsageError(
            f"the window {shown(value)} is none", remedy='write begin and end in UTC, such as "02:00-05:00"'
        )
    return text


def shown(value: object) -> str:
    """As somebody wrote it, fit for a sentence, and short."""
    text = visible(str(value))
    return text if len(text) <= 40 else f"{text[:40]}…"
