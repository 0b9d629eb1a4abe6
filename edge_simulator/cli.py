"""`edgewise simulate`: devices that are not there, on a broker that is."""

import gc
import json
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec import to_builtins

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import RolloutHaltedError, UsageError
from edge_contract.package import ModelPackage
from edge_contract.scope import Scope
from edge_contract.topics import checked_id
from edge_contract.visible import visible
from edge_fleet.commands import context, display, rollout_display
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, say
from edge_fleet.commands.rollout import read_plan
from edge_fleet.devices.watch import read_fleet
from edge_fleet.rollout.machine import Phase
from edge_fleet.rollout.plans.file import plan_of_options
from edge_simulator.faces import Behaviour, parse_behaviour
from edge_simulator.scenes import parse_scene

if TYPE_CHECKING:
    from edge_simulator.fleet import SimulatedFleet

app = typer.Typer(name="simulate", help="Devices that are not there, to rehearse with.", no_args_is_help=True)

_MOST: Final = 5000
_GARBAGE: Final = 20_000  # new objects from one search among them to the next
_WINDOW_S: Final = 60.0  # of a rehearsal's telemetry: at sixty times the speed one a second and device


@app.callback()
def _group() -> None:
    pass


@app.command("devices")
def devices(  # one a switch
    count: Annotated[int, typer.Argument(min=1, max=_MOST, help="How many; one thread carries all of a process.")],
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
    scene: Annotated[
        list[str] | None,
        typer.Option(
            help="SCENE:SHARE or SCENE:SHARE:AFTER, such as dark:5%:10m, what goes wrong before some cameras: dark, "
            "bright, blurred, far, turned, covered, frozen, neutral (answers alone), hot, expiring, lagging.",
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
    scenes = tuple(map(parse_scene, scene or []))
    root = _root(directory)
    mix = USUAL
    if like_fleet:
        with context.open_link(broker) as link:
            mix = mix_of(read_fleet(link).devices.values())
        if not mix:
            raise UsageError("no device on this broker says what it is", remedy="leave --like-fleet out")
    trouble = Trouble(offline=offline, slow=slow, kills=kills, loss=loss, scenes=scenes)
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
        gc.freeze()  # what devices are made of stays: looking through all of it for garbage is a tenth of the work
        gc.set_threshold(_GARBAGE)
        if back:
            fleet.loop.after(back, fleet.start_away)
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


@app.command("rollout")
def rollout(
    *,
    name: str,
    release: int,
    group: Annotated[str, typer.Option(help="Of the repository: what it runs now is what the devices begin with.")],
    devices: Annotated[int, typer.Option(min=0, max=2000, help="How many; 0: as many as there are.")] = 0,
    like_fleet: Annotated[
        bool, typer.Option("--like-fleet", help="Boards, runtimes, cameras and reachability as on the broker now.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="A plan file; options beside it count before it.")] = None,
    shadow: Annotated[int | None, typer.Option(help="As for `rollout start`.")] = None,
    waves: Annotated[str | None, typer.Option(help="As for `rollout start`.")] = None,
    soak: Annotated[str | None, typer.Option(help="As for `rollout start`.")] = None,
    behaves: Annotated[
        str, typer.Option(help="How the new release answers: good, worse:0.05, says:neutral:0.2, slow:BOARD:2, …")
    ] = "good",
    faces: Annotated[float, typer.Option(min=0, max=10, help="Faces a second at each camera.")] = 0.1,
    speed: Annotated[float, typer.Option(min=1, max=100, help="Seconds of the rehearsal in one of yours.")] = 60.0,
    seconds: Annotated[float, typer.Option(min=1, help="Give up after so long, by your clock.")] = 600.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same fleet.")] = 1,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Say what a rollout would do: its plan on devices that are not there, on a broker of their own, in fast time."""
    from edge_simulator.mix import USUAL, mix_of, sites  # noqa: PLC0415
    from edge_simulator.rehearsal import rehearse  # noqa: PLC0415

    chosen = plan_of_options(base=read_plan(plan), shadow=shadow, waves=waves, soak=soak, approve=None, windows=())
    behaviour = parse_behaviour(behaves)
    before, after = _packages(directory, name, release, group)
    mix, count = USUAL, devices
    if like_fleet:
        with context.open_link(broker) as link:
            known = [each for each in read_fleet(link).devices.values() if each.info and group in each.info.groups]
        mix, count = mix_of(known), devices or len(known)
    if not mix or not count:
        raise UsageError(
            f"nothing says how many devices there are in group {group}", remedy="give --devices, or --like-fleet"
        )
    made = sites(count, group, mix=mix, faces=faces, interval=_WINDOW_S, seed=seed)
    with tempfile.TemporaryDirectory(prefix="edgewise-rehearsal-") as folder:
        found = rehearse(
            before,
            after,
            chosen,
            made,
            Path(folder),
            group=group,
            speed=speed,
            seconds=seconds,
            behaviours={after.manifest.digest: behaviour},
            seed=seed,
            show=lambda line: None if as_json else display.write(line, err=True),
        )
    state = found.state
    text = [rollout_display.line(line) for line in found.ledger]
    text.append(
        f"{rollout_display.headline(state)} {found.runs} of {count} devices run {name} {release} after "
        f"{found.took / 60:.0f} min by their clocks."
    )
    data = {
        "devices": count,
        "phase": state.phase,
        "reason": state.reason,
        "shadow_faces": round(found.shadow.looks),
        "agreement": round(found.shadow.agreed / found.shadow.looks, 3) if found.shadow.looks else None,
        "runs": found.runs,
        "took_s": round(found.took),
        "findings": [] if state.verdict is None else to_builtins(state.verdict.findings),
    }
    say("\n".join(text), data, as_json=as_json)
    if state.phase is Phase.HALTED:
        raise RolloutHaltedError(f"the rollout would halt: {visible(state.reason)}")


def _packages(directory: Path, name: str, release: int, group: str) -> tuple[ModelPackage, ModelPackage]:
    """What the group runs, and what is to be rolled out."""
    releases, desired = context.open_releases(context.open_repository(directory, None, None))
    found = releases.find(name, release)
    says = desired.of(str(Scope("group", group)))
    if says is None:
        raise UsageError(
            f"group {group} has no release yet", remedy=f"give it one: `edgewise push NAME RELEASE --group {group}`"
        )
    runs = says.state.model
    before = releases.find(runs.name, runs.release)
    if before.manifest.digest == found.manifest.digest:
        raise UsageError(f"group {group} is to run {name} {release} already", remedy="name another release")
    return tuple(  # type: ignore[return-value]  # two of them
        ModelPackage(each.manifest, releases.files(each)[each.manifest.digest], "") for each in (before, found)
    )
