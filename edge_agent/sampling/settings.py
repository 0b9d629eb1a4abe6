"""`[sampling]` and `[sampling.consent]`: which faces are kept for labelling, how many at most, and on whose word.

Without a consent nothing is kept, whatever else is set. No key of these may be changed from afar (`RELOADABLE` holds
none): a signed command must not be able to begin it. A reload of the file can only narrow what runs; see `narrowed`.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.setting_types import Share

Time = Annotated[float, Meta(ge=0, le=2**37)]
"""Seconds since 1970; in the file a date or a time with its offset."""
_LINE: Final = r"^[^\x00-\x1f\x7f\ud800-\udfff]{0,%d}\Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSettings:
    """`[sampling.consent]`: the record on which crops may be kept; all of it, or none."""

    by: Annotated[str, Meta(pattern=_LINE % 256, description="one line of at most 256 characters")] = ""
    """Who answers for it: a person or an office that can be asked."""
    given: Time = 0.0
    until: Time = 0.0
    """Its first moment is too late. A date alone is its first moment, UTC."""
    purpose: Annotated[str, Meta(pattern=_LINE % 1024, description="one line of at most 1024 characters")] = ""

    def __post_init__(self) -> None:
        """Raises UsageError: only a part of a record is there, or it ends before it was given."""
        stated = (bool(self.by), self.given > 0, self.until > 0, bool(self.purpose))
        if any(stated) and not all(stated):
            raise UsageError(
                "sampling.consent is no record of a consent",
                remedy="state by, given, until and purpose, or leave the section out",
            )
        if self.given > self.until:
            raise UsageError("sampling.consent.until is before sampling.consent.given", remedy="correct these dates")

    @property
    def stated(self) -> bool:
        """There is a record; whether it is in force is a question of the time."""
        return bool(self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """`[sampling]`: off unless a consent is stated."""

    key: Path | None = None
    """The labelling key's public half, a PEM file; only the holder of the other half can open a crop."""
    share: Share = 0.01
    """Of face tracks, kept by chance alone: the stratum from which accuracy is estimated."""
    uncertain_below: Share = 0.5
    """Top probability of a look under which a face is uncertain."""
    uncertain_share: Share = 0.05
    """Of uncertain faces."""
    disagreement_share: Share = 0.2
    """Of faces that the model that answers and one in shadow named otherwise."""
    per_minute: Annotated[int, Meta(ge=1, le=600)] = 6
    """Crops at most, of all strata; uncertain faces and disagreements have half of each cap at most."""
    per_hour: Annotated[int, Meta(ge=1, le=10_000)] = 60
    per_day: Annotated[int, Meta(ge=1, le=10_000)] = 400
    mb: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Of sealed crops on disk that wait to be acknowledged, 2**20 bytes each."""
    consent: ConsentSettings = field(default_factory=ConsentSettings)

    def __post_init__(self) -> None:
        """Raises UsageError: there is a consent and no key to seal to."""
        if self.consent.stated and self.key is None:
            raise UsageError(
                "sampling.consent needs sampling.key, for crops are sealed before they are stored",
                remedy="set sampling.key to the .pub file of `edgewise-bridge labels key`",
            )


NO_CONSENT: Final = ConsentSettings()


def narrowed(running: SamplingSettings, read: SamplingSettings) -> SamplingSettings:
    """What goes on of `running` now that the file says `read`: a reload ends or shortens sampling, and never widens it.

    Another person, date, purpose or key is another consent: the one that crops are kept under is withdrawn by it, and
    the new one needs a restart, as does a later end.
    """
    before, now = running.consent, read.consent
    same = (before.by, before.given, before.purpose) == (now.by, now.given, now.purpose)
    if not before.stated or not same or read.key != running.key:
        return replace(running, consent=NO_CONSENT)
    return replace(running, consent=replace(before, until=min(before.until, now.until)))
