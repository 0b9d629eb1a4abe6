"""When a target that is staged may be run: at any time, or at the hours of `[update] window`. Pure.

Hours are the device's local time. A window may reach over midnight; one that begins when it ends is the whole day.
"""

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Annotated, Final

from msgspec import Meta

_HOUR: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_WINDOW: Final = re.compile(f"({_HOUR})-({_HOUR})")

Windows = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{_HOUR}-{_HOUR}(?:, ?{_HOUR}-{_HOUR}){{0,15}})?\Z",
        description='hours of the day such as "02:00-05:00", several with commas between them, or "" for any time',
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursSettings:
    """`[update]`: when a new model may take the place of the one that runs."""

    window: Windows = ""
    """Hours of the day by local time, such as "02:00-05:00" or "22:30-05:00, 12:00-13:00"; any time when empty. What is
    downloaded and checked outside of them waits; what goes back to the model before does not."""


def is_open(windows: str, local: datetime) -> bool:
    """Whether a moment lies in one of the windows. `local`: by the device's own time."""
    found = [(time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in _WINDOW.findall(windows)]
    now = local.time()
    return not found or any(begin <= now < end if begin < end else now >= begin or now < end for begin, end in found)
