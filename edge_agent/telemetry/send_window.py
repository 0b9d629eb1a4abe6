"""How much of the spool may be on the wire at once, and when to send it again. Pure: values in, values out.

Sequences grow, so what was sent is one number: everything up to `sent_to`. The bridge acknowledges in order; a window
that is not acknowledged is sent again from its start, and the bridge drops what it already has. Without answers, fewer
are sent and less often: a broker keeps copies of all of them for a bridge that is away.
"""

from dataclasses import dataclass, replace
from typing import Final

PROBE: Final = 10
"""Messages on the wire at most while no acknowledgement comes."""
LONGEST_RESEND_S: Final = 120.0
"""The wait doubles up to this (or `resend_s`, where that is longer): a bridge that comes up is noticed within it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The sending side of the spool within one connection."""

    size: int
    """Messages on the wire at most."""
    resend_s: float
    sent_to: int = 0
    """The highest sequence sent; 0 before the first."""
    in_flight: int = 0
    """Sent and not yet acknowledged."""
    progress: float = 0.0
    """When the first message of a wait was sent or an acknowledgement came, seconds of a clock that only grows."""
    misses: int = 0
    """Waits in a row that ended without an acknowledgement."""

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        limit = min(self.size, PROBE) if self.misses else self.size
        return max(0, limit - self.in_flight)

    @property
    def wait(self) -> float:
        """Seconds without an acknowledgement after which the window is sent again."""
        return min(self.resend_s * 2.0 ** min(self.misses, 16), max(LONGEST_RESEND_S, self.resend_s))

    def sent(self, sequence: int, now: float) -> "Window":
        """After one more message went out."""
        progress = now if self.in_flight == 0 else self.progress
        return replace(self, sent_to=sequence, in_flight=self.in_flight + 1, progress=progress)

    def acknowledged(self, remaining: int, now: float) -> "Window":
        """After the bridge acknowledged some; `remaining` of those sent are still held."""
        return replace(self, in_flight=remaining, progress=now, misses=0)

    def restarted(self) -> "Window":
        """From the start of the spool: a new connection, or a gap that the bridge has to learn of."""
        return replace(self, sent_to=0, in_flight=0, misses=0)

    def missed(self) -> "Window":
        """From the start of the spool: no acknowledgement came in time."""
        return replace(self, sent_to=0, in_flight=0, misses=self.misses + 1)

    def overdue(self, now: float) -> bool:
        """Whether the acknowledgement has been missing for too long."""
        return self.in_flight > 0 and now - self.progress >= self.wait

    def next_check(self, now: float) -> float:
        """Seconds until `overdue` can become true."""
        return max(0.0, self.progress + self.wait - now) if self.in_flight else self.resend_s
