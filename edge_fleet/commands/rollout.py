"""`edgewise rollout`: start one, see how it stands, and what a person decides in it.

Each verb is one transaction in the store, whether `edgewise fleet serve` runs or not; that does what follows.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, RolloutHaltedError, UsageError
from edge_contract.settings_file import LARGEST
from edge_contract.this_user import user_name
from edge_contract.visible import visible
from edge_fleet.commands import context, display, rollout_display
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, PassphraseOption, say
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Link
from edge_fleet.releases.migration import migrate
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import events, machine
from edge_fleet.rollout.events import Event
from edge_fleet.rollout.machine import Phase, State
from edge_fleet.rollout.plans.file import parse_plan, plan_as_toml, plan_of_options
from edge_fleet.rollout.plans.plan import DEFAULT, Plan
from edge_fleet.rollout.report import Report, report
from edge_fleet.rollout.serving import is_served
from edge_fleet.rollout.start import start as start_rollout
from edge_fleet.rollout.store import FILE, RolloutStore

app = typer.Typer(
    name="rollout", help="A release reaches a group in shadow, then in waves, and is judged.", no_args_is_help=True
)

RolloutArgument = Annotated[
    str | None, typer.Argument(help="Its id or its group; not needed where only one is meant.", show_default=False)
]
_LOOK_EVERY_S = 2.0
_NOT_SERVED = (
    "No `edgewise fleet serve` runs on this folder: it is written down, and done as soon as one does. Start it, or "
    "look whether deploy/systemd/edgewise-serve.service is up."
)


@app.command("start")
def start(
    *,
    name: str,
    release: int,
    group: Annotated[str, typer.Option(help="The devices of this group.")],
    plan: Annotated[Path | None, typer.Option(help="A plan file; options beside it count before it.")] = None,
    shadow: Annotated[
        int | None, typer.Option(help="Faces to compare in shadow before any device answers with it; 0 leaves it out.")
    ] = None,
    waves: Annotated[str | None, typer.Option(help="Devices or shares, such as 1,1%,10%,50%,100%.")] = None,
    soak: Annotated[str | None, typer.Option(help="How long each device has to run it, such as 30m.")] = None,
    approve: Annotated[
        str | None, typer.Option(help="Waves (or `shadow`) that begin only after `rollout approve`, such as 50%,100%.")
    ] = None,
    window: Annotated[
        list[str] | None, typer.Option(help="HH:MM-HH:MM in UTC: waves begin only then. May be given several times.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try it once more on devices where this very model failed before.")
    ] = False,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="End the rollout that runs in this group, whatever it waits for.")
    ] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll a release out to a group, stage by stage."""
    chosen = plan_of_options(
        base=read_plan(plan), shadow=shadow, waves=waves, soak=soak, approve=approve, windows=window or ()
    )
    repository = context.open_repository(directory, None, passphrase_file)
    releases, desired = context.open_releases(repository)
    migrate(releases)
    releases.find(name, release)  # before a broker is asked
    with context.open_link(broker) as link, RolloutStore(directory) as store:
        started = start_rollout(
            Publisher(releases, desired, link),
            store,
            read_fleet(link),
            name,
            release,
            group,
            chosen,
            by=user_name(),
            supersede=supersede,
            retry=retry,
        )
    state = started.state
    text = [
        f"{state.id}: {name} {release} goes to the {started.devices} devices of group {group} in "
        f"{', '.join(str(stage) for stage in state.stages)}. See `edgewise rollout status {state.id}`.",
        *started.notes,
    ]
    served = _served(directory)
    data = {"rollout": state.id, "devices": started.devices, "notes": started.notes, "served": served}
    say("\n".join(text), data | {"stages": to_builtins(state.stages)}, as_json=as_json)


@app.command("status")
def status(
    rollout: RolloutArgument = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow it until it ends or waits for a person; exit code 5 if it halted.")
    ] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Show how far it is: stages, devices, and what the gates say."""
    with _store(directory) as store, context.open_link(broker) as link:
        state = _one(store, rollout)
        if wait:
            with display.live(quiet=as_json) as show:
                while not machine.is_settled(state):
                    show(rollout_display.status(_report(directory, store, link, state)))
                    time.sleep(_LOOK_EVERY_S)
                    state = _again(store, state)
        found = _report(directory, store, link, state)
    if as_json:
        say("", found.as_data(), as_json=True)
    else:
        display.terminal().print(rollout_display.status(found))
    if machine.is_open(state):
        _served(directory)
    if wait:
        _conclude(state)


@app.command("approve")
def approve(
    rollout: RolloutArgument = None,
    wave: Annotated[
        int | None, typer.Option(help="Its number in the plan, 0 for the shadow; the next that needs it by default.")
    ] = None,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """Let the next wave begin that the plan wants a person's word for."""
    with _store(directory) as store:
        state = _running(store, rollout)
        open_ = machine.approvals(state)
        if not open_ or (wave is not None and wave not in open_):
            asked = ", ".join(map(str, open_)) or "none"
            what = "nothing" if wave is None else f"no approval of wave {wave}"
            raise UsageError(f"{state.id} waits for {what} (still to be approved: {asked})", remedy=_look(state))
        _decide(store, state, events.Approved(open_[0] if wave is None else wave, user_name(), time.time()), as_json)
    _served(directory)


@app.command("pause")
def pause(
    rollout: RolloutArgument = None,
    why: Annotated[str, typer.Option("--reason", help="For the ledger, and for who looks at it.")] = "",
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """Let nothing advance until `resume`. Devices are judged on, and a failure still halts it."""
    with _store(directory) as store:
        state = _running(store, rollout)
        if state.pause is not None:
            raise UsageError(f"{state.id} is paused already by {visible(state.pause.by)}", remedy=_look(state))
        _decide(store, state, events.Paused(user_name(), why[:1000], time.time()), as_json)


@app.command("resume")
def resume(
    rollout: RolloutArgument = None,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """Go on after a pause."""
    with _store(directory) as store:
        state = _running(store, rollout)
        if state.pause is None:
            raise UsageError(f"{state.id} is not paused", remedy=_look(state))
        _decide(store, state, events.Resumed(user_name(), time.time()), as_json)
    _served(directory)


@app.command("abort")
def abort(
    rollout: RolloutArgument = None,
    keep: Annotated[bool, typer.Option("--keep", help="Devices that run the release keep it.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Everyone runs again what the group ran before.")] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """End it."""
    if keep == revert:
        raise UsageError(
            "an abort says what becomes of the devices that run the release", remedy="give --keep or --revert"
        )
    with _store(directory) as store:
        state = _running(store, rollout)
        _decide(store, state, events.Aborted("keep" if keep else "revert", user_name(), time.time()), as_json)
    _served(directory)


@app.command("history")
def history(
    rollout: Annotated[str | None, typer.Argument(help="Its id; all rollouts by default.", show_default=False)] = None,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """The ledger: who did what when, and what the gates said. It only grows."""
    with _store(directory) as store:
        lines = store.ledger(None if rollout is None else _one(store, rollout).id)
    say(
        "\n".join(rollout_display.line(line) for line in lines) or "No rollout was started here yet.",
        {"ledger": [line._asdict() for line in lines]},
        as_json=as_json,
    )


@app.command("show")
def show(
    rollout: RolloutArgument = None,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """Show its plan as a file, every limit said, with what started it."""
    with _store(directory) as store:
        state = _one(store, rollout)
    text = f"# {rollout_display.headline(state)}\n{plan_as_toml(state.plan)}"
    say(text.rstrip("\n"), {"rollout": to_builtins(state)}, as_json=as_json)


def read_plan(path: Path | None) -> Plan:
    """The plan of an option; without one the default."""
    return DEFAULT if path is None else parse_plan(read_file(path, LARGEST), str(path))


@contextmanager
def _store(directory: Path) -> Iterator[RolloutStore]:
    """The store; none is made by looking."""
    if not (directory / FILE).exists():
        raise UsageError(
            f"no rollout was started in {directory}",
            remedy="run `edgewise rollout start`, or name another folder with --repository",
        )
    with RolloutStore(directory) as store:
        for what, reason in store.damaged().items():
            display.write(f"{FILE}: {visible(what)} was damaged and is put aside ({visible(reason)}).", err=True)
        yield store


def _one(store: RolloutStore, named: str | None) -> State:
    """The rollout that is meant: by its id, as the last of a group, or as the only one that runs, else the last."""
    states = store.all()
    if named is None:
        running = [state for state in states if state.phase not in machine.ENDED]
        if len(running) > 1:
            ids = ", ".join(state.id for state in running)
            raise UsageError(f"{len(running)} rollouts run ({ids})", remedy="name one")
        found = running or states[-1:]
    else:
        found = [state for state in states if state.id == named] or [s for s in states if s.group == named][-1:]
    if not found:
        ids = ", ".join(state.id for state in states[-8:]) or "none"
        raise UsageError(f"there is no rollout {named or ''} (there are: {ids})".replace("  ", " "), remedy="name one")
    return found[0]


def _running(store: RolloutStore, named: str | None) -> State:
    state = _one(store, named)
    if state.phase in machine.ENDED:
        raise UsageError(f"{state.id} has ended ({state.phase})", remedy=_look(state))
    return state


def _decide(store: RolloutStore, state: State, event: Event, as_json: bool) -> None:
    """Step by a person's word, and say what came of it."""
    before = len(store.ledger(state.id))
    after = store.transition(state.id, event, time.time())
    done = store.ledger(state.id)[before:]
    if after is None or not done:
        raise EdgewiseError(f"{state.id} changed meanwhile", remedy=_look(state))
    say(
        "\n".join(f"{state.id}: {line.text}" for line in done),
        {"rollout": state.id, "phase": after.phase, "ledger": [line._asdict() for line in done]},
        as_json=as_json,
    )


def _served(directory: Path) -> bool:
    served = is_served(directory)
    if not served:
        display.write(_NOT_SERVED, err=True)
    return served


def _report(directory: Path, store: RolloutStore, link: Link, state: State) -> Report:
    desired = context.open_releases(context.open_repository(directory, None, None))[1]
    states = {one.state.scope: one.state for one in desired.all()}
    return report(state, store, read_fleet(link).devices.values(), states, time.time())


def _again(store: RolloutStore, state: State) -> State:
    found = store.get(state.id)
    if found is None:
        raise EdgewiseError(
            f"the row of {state.id} is damaged and was put aside", remedy="push what the group is to run"
        )
    return found


def _conclude(state: State) -> None:
    if state.phase is Phase.HALTED:
        raise RolloutHaltedError(f"{state.id} halted: {visible(state.reason)}")
    if state.phase in {Phase.ABORTED, Phase.SUPERSEDED}:
        raise EdgewiseError(f"{state.id} is {state.phase}: {visible(state.reason)}")
    if state.phase is not Phase.COMPLETED:
        waits = machine.waits_for(state, time.time())
        raise EdgewiseError(f"{state.id} waits for a person", remedy=f"run {waits}, or abort it")


def _look(state: State) -> str:
    return f"see `edgewise rollout status {state.id}`"
