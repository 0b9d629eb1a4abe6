"""What a Raspberry Pi's firmware says of power and heat (`get_throttled`): one reading of its bit mask for everyone.

Bits 0 to 3 name what slows the board down now, bits 16 to 19 the same four as they happened since it was started.
The gauge `throttled` carries bits 0 to 3; the rest is known on the device alone.
"""

from typing import Final, NamedTuple

CONDITIONS: Final = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""By bit, from bit 0."""
NOW: Final = 0xF
"""The bits that hold at this moment."""
_SINCE_START: Final = 16  # the bit of the first condition as it happened since the start


class Throttling(NamedTuple):
    """Names of conditions, in the order of `CONDITIONS`."""

    now: tuple[str, ...]
    """What slows the board down at this moment; none while it runs at full speed."""
    since_start: tuple[str, ...]
    """What has slowed it down at any time since it was started."""


def throttling(mask: float) -> Throttling:
    """Read the mask; one that no firmware gives (negative, past 32 bits, not a number) says nothing."""
    bits = int(mask) if 0 <= mask < 2**32 else 0
    return Throttling(_named(bits & NOW), _named(bits >> _SINCE_START & NOW))


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(CONDITIONS) if bits >> bit & 1)
