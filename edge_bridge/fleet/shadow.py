"""What devices compared of two models in shadow: what a window gained, added to a total. Pure.

Only the counts: what a shadow says of a release is judged by the release side, from the same messages.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_bridge.fleet.label_budget import MODELS
from edge_bridge.fleet.totals import added
from edge_contract.messages import Count, ShadowCounts

_COUNTS: Final = ("looks", "agreed", "failures", "skipped")


class Pair(Struct, frozen=True, kw_only=True, gc=False):
    """Looks of one device at which two models were compared."""

    champion: str
    """In a window the digest, in a device's record the model as a label."""
    challenger: str
    looks: Count = 0
    agreed: Count = 0
    failures: Count = 0
    skipped: Count = 0

    def same(self, other: "Pair") -> bool:
        """Whether it is of the same two models."""
        return (self.champion, self.challenger) == (other.champion, other.challenger)


def pair_of(counts: ShadowCounts | None) -> Pair | None:
    """What of a message is kept for the next comparison."""
    if counts is None:
        return None
    return Pair(
        champion=counts.champion.digest,
        challenger=counts.challenger.digest,
        looks=counts.looks,
        agreed=counts.agreed,
        failures=counts.failures,
        skipped=counts.skipped,
    )


def gained(before: Pair | None, now: Pair | None) -> Pair | None:
    """What came since `before`, which is of the same session; None without a shadow."""
    if now is None or before is None or not before.same(now):
        return now
    pairs = [(getattr(before, name), getattr(now, name)) for name in _COUNTS]
    if any(new < old for old, new in pairs):
        return now  # it was reset: all it shows is gain
    return replace(now, **{name: new - old for name, (old, new) in zip(_COUNTS, pairs, strict=True)})


def with_gain(totals: tuple[Pair, ...], gain: Pair) -> tuple[Pair, ...]:
    """The totals with what was gained last, and the pair compared longest ago left out when there are too many."""
    total = next((each for each in totals if each.same(gain)), None)
    others = tuple(each for each in totals if not each.same(gain))
    if total is not None:
        gain = replace(gain, **{name: added(getattr(total, name), getattr(gain, name)) for name in _COUNTS})
    return (*others[-(MODELS - 1) :], gain)
