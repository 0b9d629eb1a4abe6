"""How much of the spool may be on the wire at once, and when to send it again. Pure: values in, values out.

Sequences grow, so what was sent is one number: everything up to `sent_to`. The bridge acknowledges in order; a window
without an acknowledgement for `resend_s` is sent again from its start, and the bridge drops what it already has.
"""

from dataclasses import dataclass, replace


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

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return max(0, self.size - self.in_flight)

    def sent(self, sequence: int, now: float) -> "Window":
        """After one more message went out."""
        progress = now if self.in_flight == 0 else self.progress
        return replace(self, sent_to=sequence, in_flight=self.in_flight + 1, progress=progress)

    def acknowledged(self, remaining: int, now: float) -> "Window":
        """After the bridge let us let go of some; `remaining` of those sent are still held."""
        return replace(self, in_flight=remaining, progress=now)

    def restarted(self) -> "Window":
        """From the start of the spool: a new connection, or nobody answered."""
        return replace(self, sent_to=0, in_flight=0)

    def overdue(self, now: float) -> bool:
        """Whether the acknowledgement has been missing for too long."""
        return self.in_flight > 0 and now - self.progress >= self.resend_s

    def next_check(self, now: float) -> float:
        """Seconds until `overdue` can become true."""
        return max(0.0, self.progress + self.resend_s - now) if self.in_flight else self.resend_s
