"""How often a password may be tried, from one address and from all together: pure, in bounded memory."""

from collections import OrderedDict
from typing import Final

EACH: Final = 5
"""Tries that one address has at once, and again after a minute."""
ALL: Final = 60
"""Tries of all addresses together, likewise: many addresses are still one attacker."""
_PER_S: Final = 60.0
_ADDRESSES: Final = 4096


class Attempts:
    """Buckets that fill up again over a minute. One thread uses this."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._all = (float(ALL), 0.0)

    def take(self, address: str, now: float) -> float:
        """Use one try at `now` (seconds that never go back): 0 if there was one, else for how many seconds to wait."""
        mine = _filled(self._left.pop(address, (float(EACH), now)), EACH, now)
        everyones = _filled(self._all, ALL, now)
        wait = max(_wait(mine, EACH), _wait(everyones, ALL))
        if wait == 0.0:
            mine, everyones = mine - 1, everyones - 1
        self._all = (everyones, now)
        self._left[address] = (mine, now)
        while len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return wait

    def forgive(self, address: str) -> None:
        """The password was right: what was used up before it is not held against this address."""
        self._left.pop(address, None)


def _filled(bucket: tuple[float, float], size: int, now: float) -> float:
    left, then = bucket
    return min(float(size), left + max(0.0, now - then) * size / _PER_S)


def _wait(left: float, size: int) -> float:
    return 0.0 if left >= 1 else (1 - left) * _PER_S / size
