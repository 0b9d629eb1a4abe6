"""The odd one out: how unsure the devices of a group are together, each left out of what it is compared with.

Of confidence given the label alone: rooms differ in what people show, and less in how sure one model is of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from edge_bridge.drift.step import Peers
from edge_bridge.drift.unsure import Unsure, unsure

LEAST_PEERS: Final = 4
"""Others than the device itself: fewer do not show what is usual."""
LEAST_TRACKS: Final = 60.0
"""Of lately, for a device to be one of them."""
_SIGMA: Final = 1.4826  # of a normal distribution, in median absolute deviations

Rows = Mapping[str, Sequence[float]]
"""A device's tracks of lately by label and bucket of confidence."""


def compared(devices: Mapping[str, Rows]) -> dict[str, Peers]:
    """What each device of one group and model is compared with; empty where they are too few."""
    # Each weighs the same, else the busiest would be what is usual.
    weighed = {name: _weighed(rows) for name, rows in devices.items() if _tracks(rows) >= LEAST_TRACKS}
    if len(weighed) <= LEAST_PEERS:
        return {}
    everyone = _added(weighed.values())
    usual = unsure(everyone)
    if usual is None:
        return {}
    excesses = [_excess(rows, usual) for rows in weighed.values()]
    middle = median(excesses)
    spread = _SIGMA * median(abs(each - middle) for each in excesses)
    found = {}
    for name in devices:
        others = unsure(_without(everyone, weighed[name])) if name in weighed else usual
        if others is not None:
            found[name] = Peers(others, spread)
    return found


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
