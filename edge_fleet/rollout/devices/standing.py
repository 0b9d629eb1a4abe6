"""Where each device of a wave stands with the release: what the gates `installed` and `healthy` judge. Pure."""

from typing import Literal

from msgspec import Struct

from edge_fleet.rollout.kind import Kind

Progress = Literal["offline", "under way", "running", "failed"]
Failure = Literal["", "rejected", "rolled back", "timed out", "silent since activation"]


class Standing(Struct, frozen=True, kw_only=True):
    """One device of the wave, as the release side knows it."""

    device: str
    kind: Kind
    progress: Progress
    """`offline`: away before it took the release; no verdict, neither good nor bad."""
    failure: Failure = ""
    reason: str = ""
    """The device's own sentence, as it came: escape it where it is shown."""
    since: float = 0.0
    """When it began to run the release, by this side's clock; 0 while it does not."""
