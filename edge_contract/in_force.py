"""Which desired state counts for a device: its own before its groups', and of those the one asked for last. Pure.

Devices follow this rule and the release side foresees them by it, so it is written once.
"""

from collections.abc import Mapping, Sequence

from edge_contract.scope import Scope
from edge_contract.trust import DesiredState


def in_force(states: Mapping[str, DesiredState], device: str, groups: Sequence[str]) -> DesiredState | None:
    """The state in force, of those by scope; None where there is none for the device or its groups."""
    own = states.get(str(Scope("device", device)))
    if own is not None and not own.follow_group:
        return own
    of_groups = [states[scope] for group in groups if (scope := str(Scope("group", group))) in states]
    return max(of_groups, key=lambda state: (state.issued, state.scope), default=None)
