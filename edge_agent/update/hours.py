"""Whether the update window of `[update]` is open. Pure.

Hours are the device's local time. A window may reach over midnight; one that begins when it ends is the whole day.
"""

import re
from datetime import datetime, time
from typing import Final

from edge_agent.update.settings import HOUR

_WINDOW: Final = re.compile(f"({HOUR})-({HOUR})")


def is_open(windows: str, local: datetime) -> bool:
    """Whether a moment lies in one of the windows. `local`: by the device's own time."""
    found = [(time.fromisoformat(begin), time.fromisoformat(end)) for begin, end in _WINDOW.findall(windows)]
    now = local.time()
    return not found or any(begin <= now < end if begin < end else now >= begin or now < end for begin, end in found)
