"""How far a device has come with the model it is to run: the states of `Reported.state`, each with its words."""

import enum
from typing import Final, Self


class UpdateState(enum.StrEnum):
    """A state; its value is what travels and what is stored."""

    text: str
    """For people; empty where there is nothing to say."""

    def __new__(cls, name: str, text: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.text = text
        return member

    IDLE = "idle", ""
    OFFERED = "offered", "offered"
    DOWNLOADING = "downloading", "downloading"
    VERIFYING = "verifying", "verifying"
    STAGED = "staged", "staged"
    SELFTEST = "selftest", "self-test"
    SHADOWING = "shadowing", "in shadow"
    ACTIVATING = "activating", "activating"
    PROBATION = "probation", "on probation"
    COMMITTED = "committed", "up to date"
    ROLLED_BACK = "rolled-back", "rolled back"
    REJECTED = "rejected", "rejected"


REFUSED: Final = frozenset({UpdateState.ROLLED_BACK, UpdateState.REJECTED})
"""The device does not run what was desired, and says why."""
ENDED: Final = REFUSED | {UpdateState.COMMITTED}
"""The update is over, in one way or the other."""
SETTLED: Final = ENDED | {UpdateState.IDLE}
"""Nothing is under way."""
