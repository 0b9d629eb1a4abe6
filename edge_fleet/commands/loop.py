"""`edgewise loop`: conduct the retraining loop, see how it stands, and what a person decides in it.

Each verb but `serve` is one transaction in the loop's database, whether `edgewise loop serve` runs or not; that does
what follows.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import to_builtins

from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, MessageError, UsageError
from edge_contract.scope import Scope
from edge_contract.this_user import user_name
from edge_contract.topics import checked_id
from edge_contract.visible import visible
from edge_fleet.commands import context, display
from edge_fleet.commands.context import JsonOption, PassphraseOption, say
from edge_fleet.link import Link
from edge_fleet.loop import alerts, decide, events
from edge_fleet.loop import settings as loop_settings
from edge_fleet.loop.alerts import Alert, Notification
from edge_fleet.loop.beginning import would
from edge_fleet.loop.controller import Controller, labels_of, terms
from edge_fleet.loop.diagnose import EVERY
from edge_fleet.loop.receiver import Receiver
from edge_fleet.loop.release import ReleaseRoad, expected_of
from edge_fleet.loop.settings import LoopSettings
from edge_fleet.loop.setup import action_of, plan_of, registry_of
from edge_fleet.loop.state import Run, State
from edge_fleet.loop.status import StatusPublisher, loop_status
from edge_fleet.loop.store import FILE, Line, LoopStore
from edge_fleet.releases.migration import migrate
from edge_fleet.rollout.serving import is_served, serving
from edge_fleet.rollout.store import RolloutStore

app = typer.Typer(
    name="loop",
    help="From an alert to its cause, and where training helps to a retrained release.",
    no_args_is_help=True,
)

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="EDGEWISE_LOOP_CONFIG", help="The loop's settings; docs/loop.md.")
]
DEFAULT_CONFIG: Final = Path("loop.toml")
_TURN_S: Final = 1.0
_COMMAND: Final = "edgewise loop serve"
_NOT_SERVED: Final = f"No `{_COMMAND}` runs for this model: it is written down, and done as soon as one does."


@app.command("serve")
def serve(config: ConfigOption = DEFAULT_CONFIG, passphrase_file: PassphraseOption = None) -> None:
    """Stay: take alerts, decide, train, release. Killed at any moment, it goes on where it was."""
    settings = loop_settings.read(config, os.environ)
    plan = plan_of(settings)

    def tell(text: str) -> None:
        display.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {visible(text)}", err=True)

    action = action_of(settings, os.environ, tell)
    repository = context.open_repository(settings.repository, None, passphrase_file)
    repository.online_signer()  # without it no rollout could begin
    releases, desired = context.open_releases(repository)
    migrate(releases)
    with (
        serving(settings.repository, _lock(settings), _COMMAND),
        LoopStore(settings.repository) as store,
        RolloutStore(settings.repository) as rollouts,
        Receiver(settings.address, settings.token, settings.model, store, tell) as receiver,
        Link(settings.broker, patient=True) as link,
    ):
        road = ReleaseRoad(releases, desired, link, rollouts, settings.group, plan, registry_of(settings))
        controller = Controller(settings, store, action, road, tell)
        shown = StatusPublisher(link, tell)
        tell(f"The loop of {settings.model} for group {settings.group} takes alerts at {receiver.url}")
        if settings.dry_run:
            tell("It is a dry run: nothing is trained.")
        while True:
            state = controller.turn()
            shown.show(loop_status(state, terms(settings), time.time()))
            time.sleep(_TURN_S)


@app.command("status")
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the run that is under way, those before, and what the next training waits for."""
    settings = loop_settings.read(config, os.environ)
    with _store(settings) as store:
        state = store.state(settings.model)
        damaged = store.damaged()
    now = time.time()
    found = loop_status(state, terms(settings), now)
    lines = [f"The loop of {settings.model} for group {settings.group}{' (a dry run)' if settings.dry_run else ''}"]
    lines += [f"Paused: {found.paused}"] if found.paused else []
    left = f"{found.budget_left} of {settings.limits.trainings_per_week} trainings may still begin this week"
    lines.append(f"{left}; the cooldown ends at {_time(found.waits_until)}." if found.waits_until else f"{left}.")
    lines += [state.waits] if state.waits else []
    lines += [
        f"Accepted: {each.cause} on {each.device}, by {each.by} at {_time(each.given)}" for each in state.accepted
    ]
    lines += [f"Of {each.run} something is still to be ended." for each in state.clearing]
    lines += _run_lines(state.current) if state.current is not None else ["No run is under way."]
    lines += [
        f"{each.id}: {each.phase}, {_time(each.ended)}. {each.steps[-1].text}" for each in state.recent if each.steps
    ]
    for what, reason in damaged.items():
        display.write(f"{FILE}: {visible(what)} was damaged and is put aside ({visible(reason)}).", err=True)
    served = is_served(settings.repository, _lock(settings))
    data = {"status": to_builtins(found), "waits": state.waits, "served": served, "dry_run": settings.dry_run}
    say("\n".join(map(visible, lines)), data | {"accepted": to_builtins(state.accepted)}, as_json=as_json)
    if not served:
        display.write(f"No `{_COMMAND}` runs for this model.", err=True)


@app.command("run")
def run(
    *,
    alert: Annotated[Path | None, typer.Option("--alert", help="A notification of Alertmanager, as JSON.")] = None,
    cause: Annotated[
        str | None, typer.Option(help=f"In place of it, the cause: {', '.join(decide.CAUSES[:-2])}.")
    ] = None,
    device: Annotated[str, typer.Option(help="With --cause: on which device.")] = "",
    release: Annotated[
        int | None, typer.Option(help="With --cause: of which release; what the group is to run by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be decided now.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give the loop an alert by hand. Cooldown and budget hold for it as for every other."""
    settings = loop_settings.read(config, os.environ)
    if (alert is None) == (cause is None):
        raise UsageError("an alert is given by a file or by its cause", remedy="give --alert FILE or --cause CAUSE")
    if alert is not None:
        found = _read(alert, settings.model)
    else:
        found = Notification((_by_hand(settings, str(cause), device, release),), (), 0)
    if not found.firing:
        raise UsageError(f"no alert about {settings.model} fires there", remedy="give one whose label model names it")
    if dry_run:
        _rehearse(settings, found, as_json=as_json)
        return
    with LoopStore(settings.repository) as store:
        store.take(settings.model, found.firing, found.resolved, time.time(), by_hand=True)
    data = {"alerts": [each.fingerprint for each in found.firing]}
    say(f"{len(found.firing)} alerts are given to the loop; see `edgewise loop status`.", data, as_json=as_json)
    _warn_unserved(settings)


@app.command("pause")
def pause(
    why: Annotated[str, typer.Option("--reason", help="For the ledger, and for who looks at it.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let nothing begin until `resume`: no run, no training, no next step. What a training or rollout does goes on."""
    settings = loop_settings.read(config, os.environ)
    _decide(settings, events.Paused(user_name(), why[:500], time.time()), "it is paused already", as_json)


@app.command("resume")
def resume(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Go on after a pause."""
    settings = loop_settings.read(config, os.environ)
    _decide(settings, events.Resumed(user_name(), time.time()), "it is not paused", as_json)
    _warn_unserved(settings)


@app.command("stop")
def stop(
    why: Annotated[str, typer.Option("--reason", help="For the ledger, and for who looks at it.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End the run that is under way: its training is ended, and its rollout aborted with everyone going back."""
    settings = loop_settings.read(config, os.environ)
    _decide(settings, events.Stopped(user_name(), why[:500], time.time()), "no run is under way", as_json)
    _warn_unserved(settings)


@app.command("accept")
def accept(
    device: Annotated[str, typer.Argument(help=f"A device, or `{EVERY}` for every one.")],
    cause: Annotated[str, typer.Argument(help=f"One of {', '.join(sorted(decide.ACCEPTABLE))}.")],
    take_back: Annotated[bool, typer.Option("--take-back", help="It is not accepted any more.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say that a change of light is the new normal (`dark`, `bright`, `far`), or that a person looked at the pictures
    and found nothing wrong with them (`unknown`, `fleet`). One training uses it up."""
    settings = loop_settings.read(config, os.environ)
    checked_id(device, "device")
    if cause not in decide.ACCEPTABLE:
        what = (
            "needs a person at the camera, and is never trained for"
            if cause in decide.CAMERA
            else "is nothing to accept"
        )
        raise UsageError(f"{visible(cause)} {what}", remedy=f"known here are: {', '.join(sorted(decide.ACCEPTABLE))}")
    if cause == "fleet" and device != EVERY:
        raise UsageError("fleet is of every device", remedy=f"write `edgewise loop accept {EVERY} fleet`")
    event = events.Accepted(device, cause, user_name(), time.time(), taken_back=take_back)
    _decide(settings, event, "it was not accepted", as_json)


@app.command("history")
def history(
    run: Annotated[str, typer.Argument(help="One run's id; all by default.", show_default=False)] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """The ledger: what the loop decided and did, and who said what. It only grows."""
    settings = loop_settings.read(config, os.environ)
    with _store(settings) as store:
        lines = store.ledger(settings.model, run)
    text = "\n".join(map(_line, lines)) or "Nothing has happened yet."
    say(text, {"ledger": [line._asdict() for line in lines]}, as_json=as_json)


def _lock(settings: LoopSettings) -> str:
    return f"loop-{settings.model}.lock"


def _store(settings: LoopSettings) -> LoopStore:
    """The store; none is made by looking."""
    if not (settings.repository / FILE).exists():
        raise UsageError(
            f"no loop has run in {settings.repository}", remedy=f"start `{_COMMAND}`, or name another --config"
        )
    return LoopStore(settings.repository)


def _decide(settings: LoopSettings, event: events.Event, otherwise: str, as_json: bool) -> None:
    """Step by a person's word, and say what came of it. `otherwise`: why nothing did."""
    with LoopStore(settings.repository) as store:
        after, entries = store.transition(settings.model, event, time.time())
    if not entries:
        raise EdgewiseError(
            f"nothing was changed in the loop of {settings.model}: {otherwise}", remedy="see its status"
        )
    say(
        "\n".join(visible(f"{settings.model}: {entry.text}") for entry in entries),
        {"model": settings.model, "entries": to_builtins(entries), "paused": after.paused},
        as_json=as_json,
    )


def _warn_unserved(settings: LoopSettings) -> None:
    if not is_served(settings.repository, _lock(settings)):
        display.write(_NOT_SERVED, err=True)


def _read(path: Path, model: str) -> Notification:
    try:
        return alerts.parse(read_file(path, alerts.BODY_BYTES), model)
    except MessageError as error:
        raise UsageError(f"{path}: {error.problem}", remedy="name what Alertmanager sent") from error


def _by_hand(settings: LoopSettings, cause: str, device: str, release: int | None) -> Alert:
    if cause not in decide.CAUSES[:-2]:
        raise UsageError(f"{visible(cause)} is no cause", remedy=f"known are: {', '.join(decide.CAUSES[:-2])}")
    if not device and cause != "fleet":
        raise UsageError(f"{cause} is of one device", remedy="name it with --device")
    if release is None:
        _, desired = context.open_releases(context.open_repository(settings.repository, None, None))
        found = desired.of(str(Scope("group", settings.group)))
        if found is None or found.state.model.name != settings.model:
            raise UsageError(
                f"group {settings.group} is to run no {settings.model}", remedy="say of which release, with --release"
            )
        release = found.state.model.release
    try:
        return alerts.by_hand(f"{settings.model}-{release}", cause, device, time.time())
    except MessageError as error:
        raise UsageError(error.problem, remedy="check --device and --release") from error


def _rehearse(settings: LoopSettings, found: Notification, *, as_json: bool) -> None:
    """What the loop would decide about these alerts alone, from how it stands; nothing is kept."""
    releases, _ = context.open_releases(context.open_repository(settings.repository, None, None))
    labels = labels_of(settings, lambda model: expected_of(releases, model), {each.model for each in found.firing})
    state = State(model=settings.model)
    if (settings.repository / FILE).exists():
        with LoopStore(settings.repository) as store:
            state = store.state(settings.model)
    lines: list[str] = []
    decisions: list[dict[str, object]] = []
    for case in would(state, found.firing, labels, terms(settings), time.time()):
        where = f" on {', '.join(case.devices)}" if case.devices else ""
        lines.append(f"{case.cause}{where}: {case.decision}. {case.text}")
        decisions.append(to_builtins(case))
    say("\n".join(map(visible, lines)), {"would": decisions}, as_json=as_json)


def _run_lines(run: Run) -> list[str]:
    what = f"{run.id}: {run.phase}, since {_time(run.since)}"
    return [what, *(f"  {_time(step.time)}  {step.phase}: {step.text}" for step in run.steps)]


def _line(line: Line) -> str:
    return visible(f"{_time(line.time)}  {line.run or '-'}  {line.who}  {line.action}: {line.text}")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
