"""Which crop a person is asked of next. Pure.

- Strata are mixed: of the answers so far, half are to be of the random stratum and a quarter of each other; asked next
  is the one that lacks most.
- Within a stratum the order is chance that does not depend on what a crop shows, so a queue that is answered in part is
  still a random sample.
- Every fifth question is, where one waits, a crop that somebody else has answered: agreement is measured on those.

Not here: finding such a crop (`annotations`).
"""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, get_args

from edge_contract.crop import Stratum

STRATA: Final[tuple[Stratum, ...]] = get_args(Stratum)
WANTED: Final[Mapping[Stratum, float]] = {"random": 0.5, "uncertain": 0.25, "disagreement": 0.25}
"""Shares of the answers."""
SECOND_EVERY: Final = 5
SHUFFLE: Final = 1_000_000
"""Places in the order of crops."""


class Waiting(NamedTuple):
    """What one stratum holds for one person."""

    answered: int = 0
    """Crops with an answer of anyone."""
    first: int = 0
    """Without any."""
    second: int = 0
    """That another person answered, chosen for a second one, and that this person has not answered."""


class Question(NamedTuple):
    """What is to be asked."""

    stratum: Stratum
    second: bool
    """Of a crop that another person answered."""


def choose(strata: Mapping[Stratum, Waiting], asked: int) -> Question | None:
    """The next question for one who answered `asked` crops so far; None where nothing waits."""
    answered = sum(each.answered for each in strata.values())
    behind = sorted(
        strata, key=lambda each: (strata[each].answered - WANTED[each] * answered, STRATA.index(each))
    )  # the one furthest behind first
    first = next((each for each in behind if strata[each].first), None)
    second = max(strata, key=lambda each: (strata[each].second, -STRATA.index(each)), default=None)
    if second is not None and strata[second].second and (first is None or asked % SECOND_EVERY == SECOND_EVERY - 1):
        return Question(second, second=True)
    return Question(first, second=False) if first is not None else None


def shuffled(device: str, session: int, sequence: int) -> int:
    """Where in the order a crop stands, from 0 to below `SHUFFLE`: the same for the same crop, and else by chance."""
    digest = hashlib.sha256(f"{device}/{session}/{sequence}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHUFFLE


def begins_at(annotator: str) -> int:
    """Where in the order a person begins: two who label at the same time seldom meet at one crop."""
    return int.from_bytes(hashlib.sha256(annotator.encode()).digest()[:8], "big") % SHUFFLE
