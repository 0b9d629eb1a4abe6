"""Adding up what devices count: a total never falls, and never grows past what can be stored and read again.

A counter at its bound stays there. What honest devices count in centuries does not come near it; one message with the
largest numbers of the contract would otherwise make totals that no database and no reader takes.
"""

from collections.abc import Iterable, Mapping
from operator import add
from typing import Final

from edge_contract.messages import LARGEST

LARGEST_SUM: Final = 2.0**53
"""Of observed seconds and shares; the bound of the contract's `Amount`."""


def added(left: int, right: int) -> int:
    """Two counts together."""
    return min(left + right, LARGEST)


def added_each(left: Iterable[int], right: Iterable[int]) -> tuple[int, ...]:
    """Counts side by side, each pair together: the hundreds of buckets that a window brings, so in few calls."""
    counts = tuple(map(add, left, right))
    return counts if max(counts, default=0) <= LARGEST else tuple(min(count, LARGEST) for count in counts)


def added_sum(left: float, right: float) -> float:
    """Two sums of observations together."""
    return min(left + right, LARGEST_SUM)


def added_by_name(
    totals: Mapping[str, int], gains: Mapping[str, int], limit: int, other: str | None = None
) -> tuple[dict[str, int], int]:
    """Each total with what it gained, and how many names were too many: past `limit` no name is new.

    What they gained goes to the name `other`, or to none.
    """
    summed, refused = dict(totals), 0
    for name, gain in gains.items():
        total = summed.get(name)
        if total is not None:  # nearly always, and of most names nothing came
            if gain:
                summed[name] = added(total, gain)
        elif len(summed) < limit:
            summed[name] = added(0, gain)
        else:
            refused += 1
            if other is not None:
                summed[other] = added(summed.get(other, 0), gain)
    return summed, refused
