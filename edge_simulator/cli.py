"""`edgewise simulate`: devices that are not there, on a broker that is."""

import json
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_contract.topics import checked_id
from edge_fleet.commands import context
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption
from edge_fleet.devices.watch import read_fleet
from edge_simulator.faces import Behaviour, parse_behaviour

if TYPE_CHECKING:
    from edge_simulator.fleet import SimulatedFleet

app = typer.Typer(name="simulate", help="Devices that are not there, to rehearse with.", no_args_is_help=True)

_MOST: Final = 20_000


@app.callback()
def _group() -> None:
    pass


@app.command("devices")
def devices(  # one a switch
    count: Annotated[int, typer.Argument(min=1, max=_MOST, help="How many.")],
    group: Annotated[str, typer.Option(help="The group that they are in.")] = "simulated",
    prefix: Annotated[str, typer.Option(help="Their ids begin with this.")] = "sim",
    first: Annotated[int, typer.Option(min=0, help="The number of the first, for several processes.")] = 0,
    like_fleet: Annotated[
        bool, typer.Option("--like-fleet", help="Boards, runtimes, cameras and reachability as on this broker now.")
    ] = False,
    offline: Annotated[float, typer.Option(min=0, max=1, help="Share that is away at first.")] = 0.0,
    back: Annotated[float, typer.Option(min=0, help="Seconds after which those come back; 0: on SIGUSR1.")] = 0.0,
    slow: Annotated[float, typer.Option(min=0, max=1, help="Share behind a line of 200 kB/s.")] = 0.0,
    kills: Annotated[float, typer.Option(min=0, max=1, help="Share that loses its power in an update.")] = 0.0,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Share of chunks and lists lost on the way.")] = 0.0,
    faces: Annotated[float, typer.Option(min=0, max=100, help="Faces a second at each camera.")] = 1.0,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between windows of telemetry.")] = 10.0,
    behave: Annotated[
        list[str] | None,
        typer.Option(
            "--behave",
            help="DIGEST=HOW, how a model answers: good, worse:0.05, says:neutral:0.2, slow:BOARD:2, "
            "swap:happy:sad:0.1, fails:0.1; DIGEST may be its beginning.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same fleet.")] = 1,
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0: on Ctrl-C.")] = 0.0,
    state: Annotated[
        Path | None, typer.Option(help="Keep the devices' state directories here; else in a temporary folder.")
    ] = None,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Run so many devices: the real update machine and a connection each; cameras and answers are drawn."""
    # The agent's libraries are loaded by who simulates, and not by every command.
    from edge_agent.mqtt.settings import BrokerSettings  # noqa: PLC0415
    from edge_simulator.fleet import SimulatedFleet  # noqa: PLC0415
    from edge_simulator.mix import USUAL, Trouble, mix_of, sites  # noqa: PLC0415

    checked_id(f"{prefix}-{0:05}", "prefix")
    checked_id(group, "group")
    behaviours = _behaviours(behave or [])
    root = _root(directory)
    mix = USUAL
    if like_fleet:
        with context.open_link(broker) as link:
            mix = mix_of(read_fleet(link).devices.values())
        if not mix:
            raise UsageError("no device on this broker says what it is", remedy="leave --like-fleet out")
    trouble = Trouble(offline=offline, slow=slow, kills=kills, loss=loss)
    chosen = sites(
        count, group, prefix=prefix, first=first, mix=mix, trouble=trouble, seed=seed, faces=faces, interval=interval
    )
    ended: list[int] = []  # plain lists: a signal handler may have interrupted what holds a lock
    called: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    signal.signal(signal.SIGUSR1, lambda number, _frame: called.append(number))
    address = BrokerSettings(**asdict(context.broker_address(broker)))
    with (
        tempfile.TemporaryDirectory(prefix="edgewise-simulate-") as folder,
        SimulatedFleet(
            chosen, state or Path(folder), broker=address, root=root, seed=seed, behaviours=behaviours
        ) as fleet,
    ):
        fleet.start()
        if back:
            fleet.schedule.after(back, fleet.start_away)
        end = time.monotonic() + seconds if seconds else None
        try:
            while not ended and (end is None or time.monotonic() < end):
                time.sleep(0.5)
                if called:
                    called.clear()
                    fleet.start_away()
                if not as_json:
                    typer.echo(f"\r{_line(fleet)}", nl=False, err=True)
        finally:
            summary = {"devices": count, "states": dict(fleet.states())}
            typer.echo(json.dumps(summary) if as_json else f"\n{_line(fleet)}")


def _line(fleet: "SimulatedFleet") -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(fleet.states().items()))
    return f"{fleet.connected} connected; {states or 'nothing reported'}".ljust(100)


def _behaviours(given: list[str]) -> dict[str, Behaviour]:
    found = {}
    for each in given:
        digest, equals, how = each.partition("=")
        if not equals or not digest or set(digest) - set("0123456789abcdef"):
            raise UsageError(f"{each!r} names no model and its behaviour", remedy="write --behave DIGEST=worse:0.05")
        found[digest] = parse_behaviour(how)
    return found


def _root(directory: Path) -> bytes:
    path = directory / "root.json"
    try:
        return read_file(path, limits.METADATA_BYTES)
    except OSError as error:
        raise UsageError(
            f"the root metadata {path} cannot be read ({error.strerror})", remedy="run `edgewise keys init` first"
        ) from error
