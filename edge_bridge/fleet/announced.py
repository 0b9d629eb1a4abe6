"""What the release side says for people, kept within bounds: how groups and loops stand, what releases are. Pure.

All of it is retained by the broker and said again on every connect, so none is stored.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from edge_bridge.fleet.record import Device
from edge_contract.group_status import GroupStatus
from edge_contract.release_card import ReleaseCard

GROUPS: Final = 256
"""Groups whose standing is kept; a further one is refused until one of them is cleared on the broker."""
LOOPS: Final = 64
"""Models whose retraining loop is shown; a further one is refused until one of them is cleared on the broker."""
CARDS: Final = 512
"""Releases that are kept; for a further one the oldest goes that no device runs and no group names."""


def named(devices: Collection[Device], groups: Iterable[GroupStatus]) -> set[str]:
    """Digests of the models that devices run or are to run, and that groups name."""
    models = [each.active for each in devices]
    models += [each.reported.target for each in devices if each.reported is not None]
    for group in groups:
        models.append(group.desired)
        if group.rollout is not None:
            models += [group.rollout.release, group.rollout.rest]
    return {model.digest for model in models if model is not None}


def to_make_room(cards: Mapping[str, ReleaseCard], needed: Collection[str]) -> str | None:
    """The digest of the card to let go: the oldest that nothing names; None when each is named."""
    free = [card for digest, card in cards.items() if digest not in needed]
    return min(free, key=lambda card: (card.time, card.manifest.digest)).manifest.digest if free else None
