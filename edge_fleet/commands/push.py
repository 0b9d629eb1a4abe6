"""`edgewise push`: set the desired state of a group or a device to a release, and watch it arrive."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.scope import Scope
from edge_contract.this_user import user_name
from edge_contract.visible import visible
from edge_fleet.commands import context, display
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, PassphraseOption, say
from edge_fleet.devices.watch import Outcomes, wait_for
from edge_fleet.releases.migration import migrate
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout.precedence import check_free, give_way
from edge_fleet.rollout.store import FILE, RolloutStore

app = typer.Typer(help="Make devices run a release.")


@app.command("push")
def push(
    *,
    name: str,
    release: int,
    group: Annotated[str | None, typer.Option(help="Every device of this group.")] = None,
    device: Annotated[str | None, typer.Option(help="One device; its own desired state overrides its group's.")] = None,
    follow_group: Annotated[
        bool,
        typer.Option("--follow-group", help="With --device: end its own desired state; its group's counts again."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try it once more on devices where this very model failed before.")
    ] = False,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="With --group: end the rollout that runs there; it issues nothing more.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to watch the online devices; 0 does not watch.")] = 0.0,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a release and the signed desired state that names it. A device that is away gets it when it connects."""
    scope = _scope(group, device, follow_group=follow_group)
    if retry and follow_group:
        raise UsageError(
            "--retry belongs to a desired state, and --follow-group ends one", remedy="give one of the two"
        )
    repository = context.open_repository(directory, None, passphrase_file)
    releases, desired = context.open_releases(repository)
    migrate(releases)
    found = releases.find(name, release)
    ref = found.manifest.ref
    releases.files(found)  # damage is found before anything is published
    if supersede and group is None:
        raise UsageError("--supersede ends a group's rollout", remedy="give it with --group")
    with (
        _rollouts(directory) as store,
        context.open_link(broker) as link,
        display.transfer(quiet=as_json) as progress,
    ):
        if store is not None and group is not None and not supersede:
            check_free(store, group)  # before anything is published
        publisher = Publisher(releases, desired, link, progress)
        publisher.check_newest()
        repository.refresh(only_when_due=True)
        publisher.check(found)
        publisher.release(found)
        publisher.metadata()
        with repository.locked():
            if store is not None and group is not None:
                if not supersede:
                    check_free(store, group)
                give_way(store, group, f"{name} {release} was pushed to the group.", by=user_name(), now=time.time())
            issued = publisher.push(lambda: desired.issue(scope, ref, follow_group=follow_group, retry=retry))
        data: dict[str, Any] = {
            "name": name, "release": release, "digest": ref.digest, "scope": scope, "revision": issued.state.revision
        }  # fmt: skip
        if wait <= 0:
            say(f"{scope} is to run {name} {release} (revision {issued.state.revision}).", data, as_json=as_json)
            return
        with display.devices(quiet=as_json) as show:
            outcomes = wait_for(publisher, issued.state, wait, show)
    _conclude(outcomes, data, as_json=as_json)


@contextlib.contextmanager
def _rollouts(directory: Path) -> Iterator[RolloutStore | None]:
    """The folder's rollouts; None where there never was one."""
    if not (directory / FILE).exists():
        yield None
        return
    with RolloutStore(directory) as store:
        yield store


def _scope(group: str | None, device: str | None, *, follow_group: bool) -> str:
    match group, device:
        case str(), None if not follow_group:
            return str(Scope("group", group))
        case None, str():
            return str(Scope("device", device))
    raise UsageError(
        "a push goes to one group or one device",
        remedy="name either --group ID or --device ID (and --follow-group only with --device)",
    )


def _conclude(outcomes: Outcomes, data: dict[str, Any], *, as_json: bool) -> None:
    text = [
        f"{len(outcomes.done)} device runs it." if len(outcomes.done) == 1 else f"{len(outcomes.done)} devices run it."
    ]
    text += [f"{device} refused it: {visible(reason)}" for device, reason in outcomes.refused.items()]
    text += [f"{device} is not finished ({state})." for device, state in outcomes.pending.items()]
    say(
        "\n".join(text),
        data | {"done": outcomes.done, "refused": outcomes.refused, "pending": outcomes.pending},
        as_json=as_json,
    )
    if outcomes.refused or outcomes.pending or not outcomes.done:
        raise EdgewiseError(
            f"the release runs on {len(outcomes.done)}, was refused by {len(outcomes.refused)} and is not finished on "
            f"{len(outcomes.pending)}",
            remedy="see `edgewise fleet ls`",
        )
