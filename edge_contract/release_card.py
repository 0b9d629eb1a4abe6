"""What a release is, for those who watch: its manifest without the goldens, and whether it was withdrawn.

Retained, unsigned, and for people: no device reads it. A device has the manifest from the signed release.
"""

from edge_contract.manifest import ModelManifest
from edge_contract.messages import Message, Seconds


class ReleaseCard(Message, frozen=True, kw_only=True):
    """Published with a release, and again when it is withdrawn."""

    manifest: ModelManifest
    withdrawn: bool = False
    time: Seconds
    """When this was published."""
