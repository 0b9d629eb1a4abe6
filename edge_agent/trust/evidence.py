"""Whether what a device once believed still counts: as long as its signature would hold under the root of today.

A rotation of the online key revokes what the old key said, whoever used it: how late it is, which revision was reached.
So the ids of the keys that signed stand beside each such memory, and are held against every newer root. Pure.
"""

import json
from collections.abc import Sequence

from msgspec import Struct

KeyIds = tuple[str, ...]


class OnlineKeys(Struct, frozen=True):
    """Whom a root names for `timestamp`."""

    ids: KeyIds = ()
    threshold: int = 0
    """How many of them must sign; 0 where no root could be read, which revokes nothing."""

    def vouch_for(self, signers: Sequence[str]) -> bool:
        """Whether something that these keys signed counts."""
        return len(set(self.ids) & set(signers)) >= self.threshold


def first_online_keys(root: bytes) -> KeyIds:
    """Those of the installation's root: they count as the signers of what an earlier agent kept without a signer.

    Raises:
        ValueError: that is no root metadata.
    """
    try:
        ids = json.loads(root)["signed"]["roles"]["timestamp"]["keyids"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("no root metadata") from error
    return tuple(str(each) for each in ids)
