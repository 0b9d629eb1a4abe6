"""How far two people agree beyond chance: Cohen's kappa (1960). Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

from edge_bridge.labels.answers import Annotation, Answer


class Agreement(NamedTuple):
    """Of two people on the crops that both answered."""

    first: str
    second: str
    crops: int
    same: int
    kappa: float | None
    """None where chance alone would make them agree on all."""


def kappa(pairs: Iterable[tuple[object, object]]) -> float | None:
    """(observed - expected) / (1 - expected) agreement; None without pairs, or where both say one thing throughout."""
    counted = Counter(pairs)
    n = counted.total()
    if not n:
        return None
    rows, columns, same = Counter[object](), Counter[object](), 0
    for (left, right), count in counted.items():
        rows[left] += count
        columns[right] += count
        same += count if left == right else 0
    by_chance = sum(count * columns[value] for value, count in rows.items())  # times n * n, in whole numbers
    if by_chance == n * n:
        return None
    return (same * n - by_chance) / (n * n - by_chance)


def agreements(stands: Mapping[int, Mapping[str, Annotation]]) -> list[Agreement]:
    """Every two people with a crop in common, those with most first. Who cannot tell does not disagree: left out."""
    pairs: dict[tuple[str, str], list[tuple[Answer, Answer]]] = {}
    for by_annotator in stands.values():
        told = {
            name: each.answer
            for name, each in sorted(by_annotator.items())
            if each.answer is not None and each.answer.kind != "cannot-tell"
        }
        for first, second in combinations(told, 2):
            pairs.setdefault((first, second), []).append((told[first], told[second]))
    found = [
        Agreement(first, second, len(given), sum(a == b for a, b in given), kappa(given))
        for (first, second), given in pairs.items()
    ]
    return sorted(found, key=lambda each: (-each.crops, each.first, each.second))
