"""The newest signed metadata that belong together, as values: versions, expiries, how to go on from others' newer ones.

No file and no key: `metadata_folder` reads them, `repository` signs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from edge_contract.errors import TrustError
from edge_contract.messages import TrustIndex

Role = Literal["root", "targets", "snapshot", "timestamp"]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Verified metadata of this repository that are newer than its own: the broker's, after an old folder came back."""

    roots: Mapping[int, bytes]
    """By version."""
    targets: Targets | None
    """The list to take over; None where the one here is newer."""
    snapshot: Snapshot | None
    timestamp: Timestamp | None
    files: Mapping[str, bytes]
    """Of list and snapshot, as they were signed: the history that devices know."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One root and what it vouches for; the parts are counted on in place when they are signed."""

    root: Root
    targets: Targets
    snapshot: Snapshot
    timestamp: Timestamp

    @property
    def parts(self) -> dict[Role, Root | Targets | Snapshot | Timestamp]:
        """By role."""
        return {"root": self.root, "targets": self.targets, "snapshot": self.snapshot, "timestamp": self.timestamp}

    @property
    def index(self) -> TrustIndex:
        """The hint of what there is."""
        return TrustIndex(root=self.root.version, snapshot=self.snapshot.version, targets=self.targets.version)

    def check_expiry(self, now: datetime, directory: Path) -> None:
        """Refuse to publish what devices would not take; each role names its own way out. `directory`: for the text.

        Raises:
            TrustError: a part has expired.
        """
        if self.root.expires <= now:
            raise TrustError(
                f"the root metadata of {directory} expired on {self.root.expires:%Y-%m-%d}, and devices take "
                "nothing under it",
                remedy="run `edgewise keys rotate root` with the root keys",
            )
        for part in (self.targets, self.snapshot, self.timestamp):
            if part.expires <= now:
                raise TrustError(
                    f"{part.type}.json of {directory} expired on {part.expires:%Y-%m-%d}: no device takes it",
                    remedy="run `edgewise release refresh`",
                )

    def ahead_of(self, root: Root, found: Elsewhere, *, online: bool) -> "Listed":
        """These under `root`, with the list that was found where it is newer, and with the higher of both versions.

        `online`: what the online key signed there counts, so snapshot and timestamp go on from its versions too.
        """
        listed = replace(self, root=root)
        if found.targets is not None:
            own, listed = listed.targets.version, replace(listed, targets=found.targets)
            listed.targets.version = max(own, found.targets.version)
        if online and found.snapshot is not None:
            listed.snapshot.version = max(listed.snapshot.version, found.snapshot.version)
            listed.targets.version = max(listed.targets.version, found.snapshot.meta["targets.json"].version)
        if online and found.timestamp is not None:
            listed.timestamp.version = max(listed.timestamp.version, found.timestamp.version)
            listed.snapshot.version = max(listed.snapshot.version, found.timestamp.snapshot_meta.version)
        return listed
