"""How often one device may bring a new inventory or a new model: each begins series that Prometheus keeps for weeks.

A bucket that holds one hour's worth: a device may change as often as its limit at once, and then once in each equal
part of an hour. A model that it named lately costs nothing, so an update that is rolled back is not two changes. Pure.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from edge_contract.messages import Seconds

HOUR_S: Final = 3600.0
MODELS: Final = 4
"""Models that a device may name again for nothing, and that its record counts by: one that was dropped is paid for."""
OTHER: Final = "other"
"""The label of what passed a limit."""
_ROUNDING_S: Final = 1e-3


class LabelBudget(Struct, frozen=True, gc=False):
    """What one device has used; a new one has used nothing."""

    full_at: Seconds = 0.0
    """When all of it is there again, by the bridge's clock, seconds since 1970."""
    models: tuple[str, ...] = ()
    """Those paid for last, oldest first."""


def spent(budget: LabelBudget, changes: int, now: float, per_hour: int) -> LabelBudget | None:
    """The budget after so many changes; None when they are too many now."""
    # Further ahead than an hour it was written under a clock that is set back since.
    latest = now + HOUR_S + _ROUNDING_S
    begin = budget.full_at if now <= budget.full_at <= latest else now
    full_at = begin + changes * HOUR_S / per_hour
    if full_at > latest:
        return None
    return LabelBudget(full_at, budget.models)


def with_models(budget: LabelBudget, models: Iterable[str], now: float, per_hour: int) -> LabelBudget | None:
    """The budget after a message that names these models; None when too many of them are new."""
    fresh = tuple(dict.fromkeys(each for each in models if each not in budget.models))
    if not fresh:
        return budget
    paid = spent(budget, len(fresh), now, per_hour)
    return LabelBudget(paid.full_at, (*paid.models, *fresh)[-MODELS:]) if paid is not None else None
