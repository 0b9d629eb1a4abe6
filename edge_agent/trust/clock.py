"""A clock that cannot be set back: these boards have no battery, and wake up years ago.

Time is the latest of what the system says, what was known before the last restart, and what the release side signed.
"""

from collections.abc import Callable


class TrustedClock:
    """Seconds since 1970."""

    def __init__(self, system: Callable[[], float], monotonic: Callable[[], float], known: float = 0.0) -> None:
        """`known`: the time persisted before the last restart."""
        self._system, self._monotonic = system, monotonic
        self._floor, self._learned = known, monotonic()

    def now(self) -> float:
        """The time it is at least."""
        return max(self._system(), self._floor + self._monotonic() - self._learned)

    def learn(self, signed: float) -> None:
        """Take in when something was signed."""
        if signed > self._floor + self._monotonic() - self._learned:
            self._floor, self._learned = signed, self._monotonic()

    def worth_keeping(self, expiry: float) -> float:
        """What to persist: never past the expiry of the newest metadata.

        A clock that was once wrongly set to a far year would otherwise count for ever, and everything that is
        signed would count as expired.
        """
        return min(self.now(), expiry)
