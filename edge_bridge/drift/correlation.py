"""How much tracks of the same minutes resemble one another: one person who comes by five times is not five people.

`within` is the correlation of two tracks of one block, `next_to` that of tracks of two blocks in a row; the latter is
taken to fade by the same factor from block to block. Both are measured while the baseline is learned, from how often
two tracks of a pair are alike beyond what the shares alone give.
"""

from typing import Final

from msgspec import Struct

LEAST: Final = 0.02
UNKNOWN: Final = 0.3
"""Before it was measured."""
_FADES: Final = 0.8


class Correlation(Struct, frozen=True):
    """See the module."""

    within: float = UNKNOWN
    next_to: float = 0.0

    def worth(self, tracks: float) -> float:
        """How many independent tracks a block of so many is worth: at least one, or what it has."""
        spread = 1 + max(0.0, tracks - 1) * self.within + 2 * tracks * self.next_to / (1 - self._fades)
        return tracks / spread

    @property
    def _fades(self) -> float:
        return min(_FADES, self.next_to / self.within) if self.within else 0.0


def measured(
    alike: float, chance: float, pairs: float, alike_next: float, chance_next: float, next_pairs: float
) -> Correlation:
    """From pairs of one block, and of blocks in a row: how many are alike, how many by chance, and all of them.

    The first is taken a standard error too high, for a few pairs say little.
    """
    within = (alike - chance) / (pairs - chance) if pairs > chance else UNKNOWN
    within = min(1.0, max(LEAST, within + 1 / max(1.0, pairs) ** 0.5))
    following = (alike_next - chance_next) / (next_pairs - chance_next) if next_pairs > chance_next else 0.0
    return Correlation(within, min(within, max(0.0, following)))
