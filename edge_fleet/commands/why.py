"""`edgewise why DEVICE`: what it runs, what it is to run, and what it waits for."""

import time
from typing import Annotated

import typer

from edge_contract import topics
from edge_contract.errors import UsageError
from edge_fleet.commands import context
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, say
from edge_fleet.devices.watch import read_fleet
from edge_fleet.rollout import why as reasons
from edge_fleet.rollout.store import FILE, RolloutStore


def why(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Say why a device runs what it runs: which desired state counts, its wave, and what it waits for."""
    topics.checked_id(device, "device id")
    desired = context.open_releases(context.open_repository(directory, None, None))[1]
    states = {one.state.scope: one.state for one in desired.all()}
    with context.open_link(broker) as link:
        known = read_fleet(link).devices.get(device)
    if known is None or (known.info is None and known.reported is None and known.availability is None):
        raise UsageError(
            f"no device {device} is known on this broker", remedy="see `edgewise fleet ls` for those that are"
        )
    group, rollout = reasons.followed(known, states), None
    if group is not None and (directory / FILE).exists():
        with RolloutStore(directory) as store:
            rollout = store.running(group)
    text = reasons.why(known, states, rollout, time.time())
    say(text, {"device": device, "why": text, "group": group}, as_json=as_json)
