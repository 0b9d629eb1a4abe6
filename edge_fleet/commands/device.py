"""`edgewise device`: commands to one device, signed like a release."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec import to_builtins

from edge_contract.errors import EdgewiseError
from edge_contract.messages import Command
from edge_contract.visible import visible
from edge_fleet.commands import context
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, PassphraseOption, say
from edge_fleet.devices.commands import DeviceCommands, arguments_of

app = typer.Typer(name="device", help="One device: signed commands, answered.", no_args_is_help=True)

Name = Literal["identify", "selftest", "rollback", "restart", "set-config"]
DeviceArgument = Annotated[str, typer.Argument(help="The device's id.")]
WaitOption = Annotated[float, typer.Option("--wait", help="Seconds to wait for the answer.")]


@app.command("identify")
def identify(
    device: DeviceArgument,
    wait: WaitOption = 30.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the device is and where; it also writes that to its own log."""
    _send("identify", device, [], wait, directory, broker, passphrase_file, as_json=as_json)


@app.command("selftest")
def selftest(
    device: DeviceArgument,
    wait: WaitOption = 120.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the known inputs of its model again."""
    _send("selftest", device, [], wait, directory, broker, passphrase_file, as_json=as_json)


@app.command("rollback")
def rollback(
    device: DeviceArgument,
    wait: WaitOption = 30.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the model that ran before."""
    _send("rollback", device, [], wait, directory, broker, passphrase_file, as_json=as_json)


@app.command("restart")
def restart(
    device: DeviceArgument,
    wait: WaitOption = 30.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the agent, so that its service manager starts it again."""
    _send("restart", device, [], wait, directory, broker, passphrase_file, as_json=as_json)


@app.command("set")
def set_config(
    device: DeviceArgument,
    assignments: Annotated[list[str], typer.Argument(help="KEY=VALUE; the value `unset` takes a change back.")],
    wait: WaitOption = 30.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change settings that are safe to change from afar, such as telemetry.interval_s=5; they outlive a restart."""
    _send("set-config", device, assignments, wait, directory, broker, passphrase_file, as_json=as_json)


def _send(
    name: Name,
    device: str,
    assignments: list[str],
    wait: float,
    directory: Path,
    broker: str,
    passphrase_file: Path | None,
    *,
    as_json: bool,
) -> None:
    command = Command(name=name, arguments=dict(arguments_of(assignments)))
    repository = context.open_repository(directory, None, passphrase_file)
    with context.open_link(broker) as link:
        result = DeviceCommands(repository, link).send(device, command, wait)
    if not result.ok:
        raise EdgewiseError(f"{device} did not: {result.detail}")
    say(f"{device}: {visible(result.detail)}", to_builtins(result), as_json=as_json)
