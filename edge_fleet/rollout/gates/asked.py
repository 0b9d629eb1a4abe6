"""One question to the evidence, such as "do both agree on 85 %?", and its answer in three values and a sentence. Pure.

Fails where the whole confidence sequence is beyond the limit, passes where the whole of it is within, else is open. A
gate that asks many questions divides the risk of a false alarm between them. The risk of passing what is beyond a limit
is not divided: who passes passed every question, the one that it should not have passed too.
"""

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from edge_fleet.rollout.gates.bounds import (
    Interval,
    against_difference,
    against_share,
    difference_interval,
    errors_wide,
    share_interval,
)
from edge_fleet.rollout.gates.verdict import Finding, Outcome


class Asked(Struct, frozen=True, kw_only=True):
    """A value that may not be above its limit."""

    value: float
    limit: float
    against: float
    """Logarithm of the evidence that the true value is not the limit."""
    interval: Callable[[float], Interval]
    """By the risk."""
    needed: bool = True
    """Whether it must pass; one that need not can only fail."""
    most: float = 1.0
    """The largest value there is: a limit of that much asks for nothing, and passes."""
    text: Callable[[Interval], str]
    """A sentence without its full stop, of the interval."""

    def outcome(self, *, halt: float, miss: float) -> Outcome:
        """By the risks of a false alarm (`halt`) and of passing what is beyond the limit (`miss`)."""
        if self.limit >= self.most:
            return Outcome.PASS
        if self.value > self.limit and self.against >= -math.log(halt):
            return Outcome.FAIL
        if self.value < self.limit and self.against >= -math.log(miss):
            return Outcome.PASS
        return Outcome.INCONCLUSIVE

    @property
    def badness(self) -> float:
        """To find the worst of several: how sure it is beyond; negative within."""
        return self.against if self.value > self.limit else -self.against


def share(count: float, trials: float, limit: float, text: Callable[[Interval], str], *, needed: bool = True) -> Asked:
    """A share of independent trials."""
    return Asked(
        value=count / trials if trials > 0 else limit,
        limit=limit,
        against=against_share(count, trials, limit) if trials > 0 else 0.0,
        interval=lambda risk: share_interval(count, trials, risk),
        needed=needed,
        text=text,
    )


def difference(more: float, less: float, trials: float, limit: float, text: Callable[[Interval], str]) -> Asked:
    """Paired: how much larger a share became."""
    return Asked(
        value=(more - less) / trials if trials > 0 else limit,
        limit=limit,
        against=against_difference(more, less, trials, limit) if trials > 0 else 0.0,
        interval=lambda risk: difference_interval(more, less, trials, risk),
        text=text,
    )


def mean(
    value: float,
    error: float,
    count: int,
    limit: float,
    text: Callable[[Interval], str],
    *,
    needed: bool = True,
    most: float = 1.0,
) -> Asked:
    """A mean with its standard error, of so many stretches; no such mean is above `most`."""

    def interval(risk: float) -> Interval:
        wide = errors_wide(count, risk)
        half = wide * error if math.isfinite(wide) else math.inf
        return Interval(value - half, value + half)

    return Asked(
        value=value,
        limit=limit,
        against=_against_mean(value - limit, error, count),
        interval=interval,
        needed=needed,
        most=most,
        text=text,
    )


def answer(gate: str, asked: Sequence[Asked], *, risk: float, halt: float) -> Finding:
    """One finding of a family of questions, told by the one that decides. `halt`: the family's part of the risk."""
    outcome, worst = decide(asked, risk=risk, halt=halt)
    end = "; more is needed to tell." if outcome is Outcome.INCONCLUSIVE else "."
    return Finding(gate=gate, outcome=outcome, text=worst.text(worst.interval(risk)) + end)


def decide(asked: Sequence[Asked], *, risk: float, halt: float) -> tuple[Outcome, Asked]:
    """Fails where one fails, passes where all that must do; and the worst of those that decide."""
    of_each = halt / len(asked)
    outcomes = [one.outcome(halt=of_each, miss=risk) for one in asked]
    if Outcome.FAIL in outcomes:
        outcome = Outcome.FAIL
    elif any(found is not Outcome.PASS and one.needed for found, one in zip(outcomes, asked, strict=True)):
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASS
    decisive = [one for found, one in zip(outcomes, asked, strict=True) if found is outcome]
    return outcome, max(decisive or asked, key=lambda one: one.badness)


def _against_mean(distance: float, error: float, count: int) -> float:
    """Logarithm of the evidence against a mean so far from what was seen: the Bayes factor of the t-test."""
    if count < 2 or math.isinf(error):
        return 0.0
    if error <= 0:
        return 0.0 if distance == 0 else math.inf
    squared, free = (distance / error) ** 2, count - 1
    grown = 1 + count
    return 0.5 * count * (math.log1p(squared / free) - math.log1p(squared / free / grown)) - 0.5 * math.log(grown)
