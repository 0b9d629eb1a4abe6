"""A clock that cannot be set back: these boards have no battery, and wake up years ago.

Time is the latest of what the system says and what the release side signed, in this run or before. Only what was signed
is kept over a restart, with the time that passed since: a system clock that was wrong once is wrong no longer than it
is wrong, and a signature that no longer counts takes its time with it.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from edge_agent.trust.evidence import KeyIds, OnlineKeys


class SignedTime(Struct, frozen=True):
    """The time that it is at least, and who says so."""

    seconds: float = 0.0
    """Since 1970."""
    signers: KeyIds = ()

    def counts(self, online: OnlineKeys) -> bool:
        """Whether its signature would hold under the root that names these keys."""
        return online.vouch_for(self.signers)


NO_TIME: Final = SignedTime()


class TrustedClock:
    """Seconds since 1970."""

    def __init__(
        self, system: Callable[[], float], monotonic: Callable[[], float], known: SignedTime = NO_TIME
    ) -> None:
        """`known`: what was kept before the last restart."""
        self._system, self._monotonic = system, monotonic
        self._learned = known, monotonic()  # one object: a command's thread reads it too

    def system(self) -> float:
        """What the board says, right or wrong."""
        return self._system()

    def signed(self) -> SignedTime:
        """What was signed, and the time that passed since: what to keep."""
        known, since = self._learned
        return SignedTime(known.seconds + self._monotonic() - since, known.signers) if known.seconds else known

    def now(self) -> float:
        """The time it is at least."""
        return max(self._system(), self.signed().seconds)

    def learn(self, signed: SignedTime) -> None:
        """Take in when something was signed."""
        if signed.seconds > self.signed().seconds:
            self._learned = signed, self._monotonic()

    def forget_revoked(self, online: OnlineKeys) -> bool:
        """Forget a time that keys signed which count no longer; whether there was one."""
        known, _ = self._learned
        if not known.seconds or known.counts(online):
            return False
        self._learned = NO_TIME, self._monotonic()
        return True
