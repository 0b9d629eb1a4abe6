"""`edgewise fleet`: what the devices report, and publishing again what a broker lost."""

import contextlib
import queue
import time
from typing import Annotated, Any

import typer
from msgspec import to_builtins
from rich.console import Console

from edge_contract import topics
from edge_contract.errors import UsageError
from edge_fleet.commands import context, display
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, PassphraseOption, say
from edge_fleet.devices.watch import answer_need, read_fleet
from edge_fleet.link import Arrived
from edge_fleet.releases.migration import migrate
from edge_fleet.releases.publish import Publisher

app = typer.Typer(name="fleet", help="The devices, and the broker they meet on.", no_args_is_help=True)

_RENEW_EVERY_S = 3600.0  # metadata lives for days; an hour late is no loss


@app.command("ls")
def ls(broker: BrokerOption = context.DEFAULT_BROKER, as_json: JsonOption = False) -> None:
    """Show every device: whether it is there, what it runs, and how its update stands."""
    with context.open_link(broker) as link:
        fleet = read_fleet(link)
    devices = sorted(fleet.devices.values(), key=lambda device: device.id)
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "device": device.id,
                "availability": to_builtins(device.availability),
                "info": to_builtins(device.info),
                "reported": to_builtins(device.reported),
            }
            for device in devices
        ]
        say("", {"devices": rows, "malformed": fleet.malformed}, as_json=True)
    elif devices:
        Console().print(display.table(devices))
    else:
        typer.echo("No device has reported on this broker yet.")
    for topic, reason in fleet.malformed.items():
        typer.echo(f"{topic}: {reason}", err=True)


@app.command("forget")
def forget(
    device: Annotated[str, typer.Argument(help="A device that is out of service for good.")],
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Take a device that is gone off the broker, the dashboard and the metrics; its predictions stay in the log."""
    topics.checked_id(device, "device id")
    with context.open_link(broker) as link:
        known = read_fleet(link).devices.get(device)
        if known is None:
            raise UsageError(
                f"no device {device} is known on this broker", remedy="see `edgewise fleet ls` for those that are"
            )
        if known.online:
            raise UsageError(f"{device} is online and would be back at once", remedy="stop its agent first")
        # Availability last: a bridge that receives it forgets the device, and nothing may follow that brings it back.
        leaves: tuple[topics.DeviceLeaf, ...] = ("need", "info", "reported", "availability")
        link.publish([Arrived(topics.device(device, leaf), b"") for leaf in leaves])
    say(f"{device} is forgotten.", {"forgotten": device}, as_json=as_json)


@app.command("heal")
def heal(
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay: answer devices that miss chunks, renew what is about to expire.")
    ] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish what the broker lacks: signed lists, chunks, desired states. For a broker that lost its state."""
    repository = context.open_repository(directory, None, passphrase_file)
    releases, desired = context.open_releases(repository)
    migrate(releases)
    with context.open_link(broker) as link, display.transfer(quiet=as_json) as progress:
        publisher = Publisher(releases, desired, link, progress)
        # First, so that a need which was retained before is answered with what `heal` brings.
        inbox = queue.Queue[Arrived]()
        link.subscribe(topics.all_devices("need"), inbox.put)
        sent = publisher.heal()
        with contextlib.suppress(queue.Empty):
            while True:
                sent += answer_need(publisher, inbox.get_nowait())
        say(f"Published {sent} messages that the broker lacked.", {"published": sent}, as_json=as_json)
        renewed = time.monotonic()
        while watch:
            with contextlib.suppress(queue.Empty):
                answer_need(publisher, inbox.get(timeout=1.0))
            if time.monotonic() - renewed > _RENEW_EVERY_S:
                repository.refresh(only_when_due=True)
                desired.renew()
                publisher.heal()
                renewed = time.monotonic()
