"""A wave of a rollout: which devices of a group try a release, decided by each device itself.

One signed message says it to all of them. A device takes part when it is named, or when its place, a number in [0, 1)
drawn by hash from its id and the wave's salt, lies under the share. So devices that join late or slept classify
themselves, the release side computes the same set, and a share that grows keeps everyone who was in. The salt is the
release's digest: each release begins with other devices.
"""

import hashlib
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from edge_contract.messages import Id, ModelRef, Sha256, Share

CANARIES: Final = 256
"""The most devices that one wave can name."""
_PLACE_BITS: Final = 53  # as many as a float holds, so that a place and a share compare exactly everywhere

Mode = Literal["shadow", "active"]
"""`shadow`: the release runs beside the one that answers, on the same faces, and only counts. `active`: it answers."""


class ShadowTerms(Struct, frozen=True, kw_only=True):
    """How a release in shadow is compared; the same on every device, so that counts can be added up."""

    spacing: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Of one face, at most one look in so many seconds is compared: what a face shows a moment later is no news."""
    slower: Annotated[float, Meta(ge=1, le=100)] = 1.5
    """A look counts as slower where the release took more than this many times as long as the one that answers."""
    unsure: Share = 0.1
    """A look counts as less (more) sure where its confidence is lower (higher) by more than this."""
    sure: Share = 0.8
    """The release that answers is sure of a look where its top probability is at least this."""


class Wave(Struct, frozen=True, kw_only=True):
    """Which devices try which release, and how. Everyone else runs the desired state's `model`."""

    model: ModelRef
    """The release on trial."""
    mode: Mode
    share: Share
    """Of the group's devices, beside those named."""
    salt: Sha256
    canaries: Annotated[tuple[Id, ...], Meta(max_length=CANARIES)] = ()
    """Devices that take part whatever their place."""
    shadow: ShadowTerms = ShadowTerms()

    def includes(self, device: str) -> bool:
        """Whether this device takes part."""
        return device in self.canaries or place(self.salt, device) < self.share


def place(salt: str, device: str) -> float:
    """A device's place, in [0, 1): uniform over ids, and another order for each salt."""
    digest = hashlib.sha256(f"{salt}/{device}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _PLACE_BITS)) / float(2**_PLACE_BITS)
