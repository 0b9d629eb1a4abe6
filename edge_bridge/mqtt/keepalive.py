"""When a client that has nothing to say asks whether its broker is there, and when it gives it up. Pure."""

from typing import Literal


class Keepalive:
    """Times are seconds of a clock that never goes back."""

    def __init__(self, interval_s: int, now: float) -> None:
        """`interval_s` as it was agreed; 0 for none."""
        self._interval = interval_s
        self._sent = self._received = now
        self._asked: float | None = None

    def sent(self, now: float) -> None:
        """Something went out."""
        self._sent = now

    def received(self, now: float) -> None:
        """Something came: whoever sends is there."""
        self._received = now
        self._asked = None

    def due(self, now: float) -> Literal["nothing", "ping", "gone"]:
        """What is to be done; after "ping" it is taken to be sent."""
        if not self._interval:
            return "nothing"
        if self._asked is not None:
            return "gone" if now - self._asked >= self._interval else "nothing"
        if now - min(self._sent, self._received) >= self._interval:
            self._asked = self._sent = now
            return "ping"
        return "nothing"
