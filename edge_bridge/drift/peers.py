"""The odd one out: how unsure the devices of a group are together, each left out of what it is compared with.

Of confidence given the label alone: rooms differ in what people show, and less in how sure one model is of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from edge_bridge.drift.step import Peers
from edge_bridge.drift.unsure import Unsure, unsure

LEAST_PEERS: Final = 4
"""Others than the device itself: fewer do not show what is usual."""
MOST_PEERS: Final = 256
"""So many show it well enough."""
LEAST_TRACKS: Final = 60.0
"""Of lately, for a device to be one of them."""
_SIGMA: Final = 1.4826  # of a normal distribution, in median absolute deviations

Rows = Mapping[str, Sequence[float]]
"""A device's tracks of lately by label and bucket of confidence."""


class Compared(NamedTuple):
    """What the devices of one group are compared with."""

    usual: Peers
    """A device that none of it is of."""
    others: dict[str, Peers]
    """One that is left out of it itself."""


def compared(devices: Mapping[str, Rows]) -> Compared | None:
    """From devices of one group and model; None where they are too few."""
    # Each weighs the same, else the busiest would be what is usual.
    weighed = {name: _weighed(rows) for name, rows in devices.items() if _tracks(rows) >= LEAST_TRACKS}
    everyone = _added(weighed.values())
    usual = unsure(everyone) if len(weighed) > LEAST_PEERS else None
    if usual is None:
        return None
    excesses = [_excess(rows, usual) for rows in weighed.values()]
    middle = median(excesses)
    spread = _SIGMA * median(abs(each - middle) for each in excesses)
    without = ((name, unsure(_without(everyone, rows))) for name, rows in weighed.items())
    return Compared(Peers(usual, spread), {name: Peers(others, spread) for name, others in without if others})


def _excess(rows: Rows, reference: Unsure) -> float:
    """By how much more of a device's tracks are unsure than the reference expects."""
    below = sum(sum(row[: reference.cut]) for row in rows.values())
    usual = sum(sum(row) * reference.by_label.get(label, reference.overall) for label, row in rows.items())
    return (below - usual) / _tracks(rows)


def _weighed(rows: Rows) -> dict[str, list[float]]:
    total = _tracks(rows)
    return {label: [each * LEAST_TRACKS / total for each in row] for label, row in rows.items()}


def _tracks(rows: Rows) -> float:
    return sum(map(sum, rows.values()))


def _added(devices: Iterable[Rows]) -> dict[str, list[float]]:
    total: dict[str, list[float]] = {}
    for rows in devices:
        for label, row in rows.items():
            before = total.get(label)
            total[label] = list(row) if before is None else [a + b for a, b in zip(before, row, strict=True)]
    return total


def _without(total: Mapping[str, list[float]], rows: Rows) -> dict[str, list[float]]:
    return {
        label: [max(0.0, a - b) for a, b in zip(row, rows[label], strict=True)] if label in rows else list(row)
        for label, row in total.items()
    }
