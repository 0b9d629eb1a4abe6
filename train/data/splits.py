"""Who may look at which picture: the selection split, and training rows that stand in a test."""

import numpy as np
from numpy.typing import NDArray


def training_rows_in_tests(digests: list[bytes], split: NDArray[np.uint8], tests: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark rows [N] outside the tests whose pixels equal those of a test picture."""
    in_test = np.isin(split, tests)
    tested = {digest for digest, test in zip(digests, in_test, strict=True) if test}
    equal = np.array([digest in tested for digest in digests], bool)
    return equal & ~in_test


def stratified_share(
    labels: NDArray[np.integer], digests: list[bytes], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose about `share` of every class, [N]; pictures with equal pixels go together.

    A group of equal pictures counts for the class of its first row (42 groups of FER2013 carry several labels), and a
    class with more than one group keeps at least one on either side.
    """
    groups: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        groups.setdefault(digest, []).append(row)
    chosen = np.zeros(len(labels), bool)
    members = list(groups.values())
    first_labels = np.array([labels[rows[0]] for rows in members])
    for label in np.unique(first_labels):
        of_class = [members[index] for index in np.flatnonzero(first_labels == label)]
        total = sum(len(rows) for rows in of_class)
        goal = max(1, round(share * total))
        taken = 0
        for position in rng.permutation(len(of_class))[: len(of_class) - 1]:
            rows = of_class[position]
            if taken >= goal:
                break
            # A group larger than what is missing would overshoot; a smaller one comes later.
            if taken and taken + len(rows) > goal:
                continue
            chosen[rows] = True
            taken += len(rows)
    return chosen
