"""Lines that say the same again and again, as a webcam's decoder does with every frame: said ever less often. Pure.

Lines that differ in numbers alone are the same. What was left out is counted and said with the next one.
"""

import re
from typing import Final

FIRST_S: Final = 10.0
"""After a line, before its like is said again; doubled each time."""
LONGEST_S: Final = 3600.0
_KINDS: Final = 64
"""Kinds remembered, the oldest forgotten first: a library that prints random texts is limited by `_MOST`."""
_MOST: Final = 30
_WINDOW_S: Final = 60.0
_NUMBER: Final = re.compile(r"(?:0x)?[0-9a-fA-F]*\d[0-9a-fA-F]*")


class Repeats:
    """What was said lately."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, float, int]] = {}  # when it is due again, the pause, how many were left out
        self._began, self._said, self._dropped = float("-inf"), 0, 0

    def admit(self, line: str, now: float) -> str | None:
        """The line, with what was left out before it; None to leave it out. `now`: seconds, only growing."""
        kind = _NUMBER.sub("#", line)
        due, pause, left_out = self._kinds.pop(kind, (now, FIRST_S / 2, 0))
        if now < due:
            self._kinds[kind] = (due, pause, left_out + 1)
            return None
        if now - self._began >= _WINDOW_S:
            self._began, self._said = now, 0
        if self._said >= _MOST:
            self._dropped += 1
            return None
        again = FIRST_S if now - due > LONGEST_S else min(pause * 2, LONGEST_S)
        self._kinds[kind] = (now + again, again, 0)
        if len(self._kinds) > _KINDS:
            del self._kinds[next(iter(self._kinds))]
        self._said += 1
        left_out, self._dropped = left_out + self._dropped, 0
        return f"{line} (and {left_out} such lines since the last)" if left_out else line
