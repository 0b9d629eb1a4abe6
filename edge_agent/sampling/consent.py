"""Whether a crop may be kept now: the consent of the settings, the trusted time, and what ends both for good.

Asked at every look and before every message. Once over, a consent stays over for this run, whatever the clock says
afterwards: only a start with a record in force begins again.

Not here: deleting what was kept (`sender`), and what the settings may say (`settings`).
"""

import hashlib
from collections.abc import Callable
from typing import Literal

from edge_agent.sampling.settings import ConsentSettings
from edge_contract.crop import Consent

Standing = Literal["in force", "not yet", "unknown", "over"]
"""`not yet`: it was given for later. `unknown`: the settings could not be read again. `over`: expired or withdrawn."""


class Permission:
    """One consent; from any thread."""

    def __init__(self, consent: Consent, now: Callable[[], float]) -> None:
        """`now`: trusted time, seconds since 1970."""
        self._consent, self._now = consent, now
        self._over, self._unknown = "", False

    @property
    def consent(self) -> Consent:
        """The record, as it stands now."""
        return self._consent

    @property
    def over(self) -> str:
        """Why nothing may be kept any more and what was kept must go; empty while it is not so."""
        self.standing()
        return self._over

    def standing(self) -> Standing:
        """How it stands at this moment."""
        if not self._over and self._now() >= self._consent.until:
            self._over = "it has expired"
        if self._over:
            return "over"
        if self._unknown:
            return "unknown"
        return "in force" if self._consent.in_force(self._now()) else "not yet"

    def take(self) -> float | None:
        """The time of a crop that may be kept now; None where none may."""
        now = self._now()
        return now if self.standing() == "in force" and self._consent.in_force(now) else None

    def seconds_left(self) -> float:
        """Until it expires, by the clock of now."""
        return max(0.0, self._consent.until - self._now())

    def reloaded(self, read: ConsentSettings | None) -> None:
        """The settings were read again; None: they could not be, and what they say of consent is not known."""
        self._unknown = read is None
        if read is None:
            return
        if not read.stated:
            self._over = self._over or "it was withdrawn"
        else:
            self._consent = record(read)


def record(settings: ConsentSettings) -> Consent:
    """The consent as a crop carries it."""
    return Consent(by=settings.by, given=settings.given, until=settings.until, purpose=settings.purpose)


def mark(consent: Consent) -> str:
    """What tells one consent from another, its end aside: a crop is kept only while its own still stands."""
    text = f"{consent.by}\n{consent.given!r}\n{consent.purpose}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
