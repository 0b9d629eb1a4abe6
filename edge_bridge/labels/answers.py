"""What people say of a crop: which answers stand, and what they say together. Pure.

An answer of a person replaces the earlier one of the same person on the same crop; an undo takes one answer back, and
the one before it stands again. Nothing is ever changed or removed for that: both are further rows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Kind = Literal["label", "not-a-face", "cannot-tell"]
Outcome = Literal["label", "not-a-face", "cannot-tell", "no-majority"]


class Answer(NamedTuple):
    """What one person says of one crop."""

    kind: Kind
    label: str = ""
    """Of the model's labels; empty unless `kind` is "label"."""


class Annotation(NamedTuple):
    """One row: an answer, or that one is taken back."""

    number: int
    crop: int
    annotator: str
    answer: Answer | None
    """None: an undo."""
    time: float
    """Seconds since 1970."""
    shown: bool
    """Whether the model's answer was shown before."""
    undoes: int | None = None


class Consensus(NamedTuple):
    """What the people who answered say together."""

    outcome: Outcome
    label: str
    annotators: int


def standing(rows: Iterable[Annotation]) -> dict[int, dict[str, Annotation]]:
    """Crop → annotator → the row that stands; rows in any order."""
    ordered = sorted(rows)
    undone = {each.undoes for each in ordered if each.undoes is not None}
    found: dict[int, dict[str, Annotation]] = {}
    for each in ordered:
        if each.answer is not None and each.number not in undone:
            found.setdefault(each.crop, {})[each.annotator] = each
    return found


def consensus(answers: Iterable[Answer]) -> Consensus | None:
    """What more than half of them say; None without any. Each person has one vote, also one who cannot tell."""
    votes = Counter(answers)
    if not votes:
        return None
    (top, count), n = votes.most_common(1)[0], votes.total()
    if 2 * count <= n:
        return Consensus("no-majority", "", n)
    return Consensus(top.kind, top.label, n)


def agreed(stands: Mapping[str, Annotation], *, blind: bool = False) -> Consensus | None:
    """The consensus of the rows that stand; `blind`: of those alone that were given without seeing the model's."""
    return consensus(each.answer for each in stands.values() if each.answer is not None and not (blind and each.shown))
