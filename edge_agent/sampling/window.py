"""Which crops are on the wire, and when they are sent again. Pure: values in, values out.

Crops are acknowledged one by one, in any order, so what was sent is a set of names. Without answers two at most are on
the wire, and they are repeated ever more seldom: a broker keeps copies of all of them for a reader that is away.
"""

from dataclasses import dataclass, replace
from typing import Final

from edge_contract.crop import CropName

SIZE: Final = 8
"""Crops on the wire at most."""
PROBE: Final = 2
"""The same while no answer comes."""
RESEND_S: Final = 30.0
LONGEST_RESEND_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Window:
    """The sending side within one connection."""

    sent: frozenset[CropName] = frozenset()
    """Sent, and neither acknowledged nor refused."""
    progress: float = 0.0
    """When the first crop of a wait was sent or an answer came, seconds of a clock that only grows."""
    misses: int = 0
    """Waits in a row that ended without an answer."""

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return max(0, (PROBE if self.misses else SIZE) - len(self.sent))

    @property
    def wait(self) -> float:
        """Seconds without an answer after which all is sent again."""
        return min(RESEND_S * 2.0 ** min(self.misses, 16), LONGEST_RESEND_S)

    def one_more(self, name: CropName, now: float) -> "Window":
        """After one more crop went out."""
        return replace(self, sent=self.sent | {name}, progress=self.progress if self.sent else now)

    def answered(self, name: CropName, now: float) -> "Window":
        """After a crop was acknowledged or refused."""
        return replace(self, sent=self.sent - {name}, progress=now, misses=0)

    def restarted(self) -> "Window":
        """A new connection: what of the last arrived is not known."""
        return Window()

    def missed(self) -> "Window":
        """No answer came in time."""
        return Window(misses=self.misses + 1)

    def overdue(self, now: float) -> bool:
        """Whether an answer has been missing for too long."""
        return bool(self.sent) and now - self.progress >= self.wait

    def next_check(self, now: float) -> float:
        """Seconds until `overdue` can become true."""
        return max(0.0, self.progress + self.wait - now) if self.sent else RESEND_S
