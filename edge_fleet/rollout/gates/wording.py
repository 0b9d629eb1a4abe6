"""Numbers and lists as the sentences of a verdict have them; whatever a device wrote is made visible."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from edge_contract.visible import visible
from edge_fleet.rollout.evidence.evidence import HEAVIEST, Evidence

_NAMED: Final = 5


def percent(share: float) -> str:
    """A share in per cent, with one digit where that says more."""
    return (
        f"{min(max(share, 0.0), 1.0) * 100:.3g} %"
        if share < 0.1
        else f"{min(share, 1.0) * 100:.1f} %".replace(".0 %", " %")
    )


def whole_percent(bound: float) -> str:
    """An upper bound in per cent, rounded up; below one, to two digits."""
    return f"{math.ceil(bound * 100 - 1e-4)} %" if bound >= 0.01 else f"{bound * 100:.2g} %"


def points(difference: float) -> str:
    """A difference of shares in points."""
    return f"{difference * 100:.1f}".replace("-0.0", "0.0").removesuffix(".0")


def listed(names: Iterable[str]) -> str:
    """The first few by name, the rest by number."""
    known = list(names)
    more = len(known) - _NAMED
    text = ", ".join(map(visible, known[:_NAMED]))
    return f"{text} and {more} more" if more > 0 else text


def minutes(seconds: float) -> str:
    """What is left, rounded up."""
    return f"{int(-(-seconds // 60))} min" if seconds >= 60 else f"{int(-(-seconds // 1))} s"


def faults(evidence: Mapping[str, Evidence], heavy: Sequence[str]) -> str:
    """Which devices' windows were put aside, and whose counts were held down; empty where none."""
    found: dict[str, list[str]] = {}
    for device, one in sorted(evidence.items()):
        for fault in one.faults:
            found.setdefault(fault, []).append(device)
    texts = [f"Windows of {listed(devices)} were put aside: {fault}." for fault, devices in found.items()]
    if heavy:
        texts.append(f"{listed(sorted(heavy))} counted for {HEAVIEST:g} times the median device, not for more.")
    return " ".join(texts)
