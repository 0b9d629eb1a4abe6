"""Nothing is signed while this machine's clock contradicts what was signed last. Pure.

Devices without a clock learn the time from what is signed, and what they learned from a wrong one locks them out until
it is revoked together with its key.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError

BEHIND: Final = timedelta(days=1)
"""How far the clock may be behind what was signed last: all that is signed lives for a day at least."""
AHEAD: Final = timedelta(days=60)
"""How far ahead of it, without being told that the clock is right: a fleet left alone for longer is rare."""
_NO_TIME: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()  # nor what a thief signs beyond the calendar


def check_clock(
    now: datetime, issued: Iterable[object], directory: Path, *, behind: bool = True, confirmed: bool = False
) -> None:
    """Hold the clock against when things were `issued`, in whole seconds since 1970 as metadata say it.

    `behind`: refuse a clock behind that; `confirmed`: somebody looked at it, so it may be far ahead.

    Raises:
        EdgewiseError: it cannot be right, or should be looked at.
    """
    last_issued = max((each for each in issued if isinstance(each, int) and 0 <= each < _NO_TIME), default=None)
    if last_issued is None:
        return  # an earlier version of this command did not note it
    now, last = now.astimezone(UTC), datetime.fromtimestamp(last_issued, UTC)
    says = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and {directory} was last signed"
    if behind and now < last - BEHIND:
        raise EdgewiseError(
            f"{says} at {last:%Y-%m-%d %H:%M}, which is later",
            remedy="set the clock right; if it is right now and was wrong then, run `edgewise fleet recover "
            "--new-online-key` with the root keys",
        )
    if now > last + AHEAD and not confirmed:
        raise EdgewiseError(
            f"{says} at {last:%Y-%m-%d %H:%M}, {(now - last).days} days before",
            remedy="set the clock right, or run `edgewise release refresh --clock-is-right` if it is",
        )
