"""A group has one rollout at a time: what stands against something newer there, and how it gives way."""

from edge_contract.errors import UsageError
from edge_fleet.rollout import events, machine
from edge_fleet.rollout.store import RolloutStore


def check_free(store: RolloutStore, group: str) -> None:
    """Refuse while a rollout runs in the group, or has ended there and the group is not told yet.

    Raises:
        UsageError: so it is; the text says which.
    """
    for state in store.open():
        if state.group != group:
            continue
        if state.phase not in machine.ENDED:
            raise UsageError(
                f"the rollout {state.id} of {state.release.name} {state.release.release} runs in group {group}",
                remedy=f"wait for it (`edgewise rollout status {state.id}`), abort it, or give --supersede",
            )
        if machine.due(state) is not None:
            raise UsageError(
                f"the rollout {state.id} is {state.phase}, and group {group} is not told yet",
                remedy="let `edgewise fleet serve` do that, or give --supersede",
            )


def give_way(store: RolloutStore, group: str, why: str, *, by: str, now: float) -> None:
    """End what is open in the group; under the folder's lock, so that nothing of it is issued any more."""
    for state in store.open():
        if state.group == group:
            store.transition(state.id, events.Superseded(why, by, now), now)
