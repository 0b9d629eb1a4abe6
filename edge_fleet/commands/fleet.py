"""`edgewise fleet`: what the devices report, and publishing again what a broker lost."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import to_builtins

from edge_contract import topics
from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_contract.settings_file import LARGEST
from edge_contract.visible import visible
from edge_fleet.commands import context, display
from edge_fleet.commands.context import BrokerOption, DirectoryOption, JsonOption, KeysOption, PassphraseOption, say
from edge_fleet.commands.registry import DEFAULT_LEDGER, UriOption
from edge_fleet.devices.healing import Healing
from edge_fleet.devices.selection import chosen_to_forget, is_pattern
from edge_fleet.devices.view import Fleet
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Arrived
from edge_fleet.registry.champion_watch import ChampionWatch
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.mlflow import DEFAULT_URI
from edge_fleet.registry.registry import Registry
from edge_fleet.registry.webhook import SECRET, Webhook, checked_secret, listen_address
from edge_fleet.releases import recover as recovery
from edge_fleet.releases.migration import migrate
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout.controller import JUDGE_EVERY_S, Controller
from edge_fleet.rollout.follow import Follower
from edge_fleet.rollout.plans.file import parse_plan
from edge_fleet.rollout.plans.plan import DEFAULT, Plan
from edge_fleet.rollout.serving import serving
from edge_fleet.rollout.status_board import StatusBoard
from edge_fleet.rollout.store import RolloutStore

app = typer.Typer(name="fleet", help="The devices, and the broker they meet on.", no_args_is_help=True)


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
                "id_shared": device.shares_id(time.time()),
            }
            for device in devices
        ]
        say("", {"devices": rows, "malformed": fleet.malformed}, as_json=True)
    elif devices:
        display.terminal().print(display.table(devices))
    else:
        typer.echo("No device has reported on this broker yet.")
    for topic, reason in fleet.malformed.items():
        display.write(f"{visible(topic)}: {visible(reason)}", err=True)


@app.command("forget")
def forget(
    devices: Annotated[
        list[str], typer.Argument(help="Devices that are out of service for good; 'attic-*' for all that match.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before forgetting what a pattern matched.")] = False,
    broker: BrokerOption = context.DEFAULT_BROKER,
    as_json: JsonOption = False,
) -> None:
    """Take devices that are gone off the broker, the dashboard and the metrics; their predictions stay in the log."""
    with context.open_link(broker) as link:
        chosen, online = chosen_to_forget(devices, read_fleet(link).devices)
        matched = any(is_pattern(each) for each in devices)
        if matched and not yes:
            if as_json:
                raise UsageError("with --json nothing is asked", remedy="give --yes where a pattern names the devices")
            question = f"Forget {len(chosen)} devices: {', '.join(chosen)}?"
            if not typer.confirm(question):
                raise UsageError("nothing was forgotten.")
        # Availability last: a bridge that receives it forgets the device, and nothing may follow that brings it back.
        leaves: tuple[topics.DeviceLeaf, ...] = ("need", "info", "reported", "availability")
        link.publish([Arrived(topics.device(device, leaf), b"") for device in chosen for leaf in leaves])
        # Home Assistant's discovery of them, under whatever prefix, where the access rules show it to this side.
        for device in chosen:
            link.publish(Arrived(topic, b"") for topic in link.retained(f"+/device/edgewise-{device}/config"))
    text = [f"{', '.join(chosen)} {'is' if len(chosen) == 1 else 'are'} forgotten."]
    text += [f"{device} is online and was left." for device in online]
    say("\n".join(text), {"forgotten": chosen, "online": online}, as_json=as_json)


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
    with context.open_link(broker, patient=watch) as link, display.transfer(quiet=as_json) as progress:
        publisher = Publisher(releases, desired, link, progress)
        healing = Healing(publisher, lambda text: typer.echo(text, err=True))
        sent = healing.begin()
        say(f"Published {sent} messages that the broker lacked.", {"published": sent}, as_json=as_json)
        while watch:
            healing.turn(1.0)


@app.command("serve")
def serve(
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    follow: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Roll out by itself what becomes this model's champion in the registry."),
    ] = None,
    group: Annotated[str | None, typer.Option(help="With --follow: to the devices of this group.")] = None,
    plan: Annotated[Path | None, typer.Option(help="With --follow: by this plan file.")] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --follow: look at once when MLflow's webhook comes here, signed with EDGEWISE_WEBHOOK_SECRET.",
        ),
    ] = None,
    webhook_exposed: Annotated[
        bool, typer.Option("--webhook-exposed", help="The webhook may be reached from other machines.")
    ] = False,
    registry: UriOption = DEFAULT_URI,
) -> None:
    """Stay: do what `heal --watch` does, and conduct the rollouts. Killed at any moment, it goes on where it was."""
    following = _following(follow, group, plan, webhook, registry, exposed=webhook_exposed)
    repository = context.open_repository(directory, None, passphrase_file)
    repository.online_signer()  # without it no wave could begin
    releases, desired = context.open_releases(repository)
    migrate(releases)
    with (
        serving(directory),
        context.open_link(broker, patient=True) as link,
        RolloutStore(directory) as store,
        ExitStack() as stack,
    ):
        publisher = Publisher(releases, desired, link)

        def tell(text: str) -> None:
            display.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {visible(text)}", err=True)

        healing = Healing(publisher, tell)
        controller = Controller(publisher, store, tell)
        board = StatusBoard(publisher, store, controller, tell)
        tell(f"Published {healing.begin()} messages that the broker lacked; {len(store.open())} rollouts are open.")
        follower = None
        if following is not None:
            follower = following.begin(publisher, store, controller.fleet, tell, stack)
        judged = -JUDGE_EVERY_S
        while True:
            healing.turn(0.5)
            if time.monotonic() - judged >= JUDGE_EVERY_S:
                controller.turn()
                board.turn()
                judged = time.monotonic()
                if follower is not None:
                    follower.turn()  # after what arrived was taken in


@dataclass(frozen=True, slots=True)
class _Following:
    """What `--follow` asks for, checked before a broker is asked."""

    watch: ChampionWatch
    group: str
    plan: Plan
    webhook: tuple[tuple[str, int], bytes] | None

    def begin(
        self, publisher: Publisher, store: RolloutStore, fleet: Fleet, tell: Callable[[str], None], stack: ExitStack
    ) -> Follower:
        """Look and listen, until the stack ends."""
        stack.enter_context(self.watch)
        text = f"Group {self.group} follows the champion of {self.watch.model}"
        if self.webhook is not None:
            text += f"; webhooks come to {stack.enter_context(Webhook(*self.webhook, self.watch.wake, tell)).url}"
        tell(f"{text}.")
        return Follower(publisher, store, fleet, self.watch, self.group, self.plan, tell)


def _following(
    model: str | None, group: str | None, plan: Path | None, webhook: str | None, registry: str, *, exposed: bool
) -> _Following | None:
    if model is None:
        given = {"--group": group, "--plan": plan, "--webhook": webhook, "--webhook-exposed": exposed or None}
        if alone := [name for name, value in given.items() if value is not None]:
            raise UsageError(
                f"{' and '.join(alone)} belong to --follow", remedy="add --follow MODEL, or leave them out"
            )
        return None
    if group is None:
        raise UsageError("--follow rolls out to one group", remedy="name it with --group")
    if exposed and webhook is None:
        raise UsageError("--webhook-exposed is about --webhook", remedy="add --webhook HOST:PORT, or leave it out")
    address = None
    if webhook is not None:
        address = (listen_address(webhook, exposed=exposed), checked_secret(SECRET.read(os.environ)))
    chosen = DEFAULT if plan is None else parse_plan(read_file(plan, LARGEST), str(plan))
    watch = ChampionWatch(
        Registry(registry, Ledger(DEFAULT_LEDGER), time.time, asked_again=True), topics.checked_id(model, "model")
    )
    return _Following(watch, topics.checked_id(group, "group"), chosen, address)


@app.command("recover")
def recover(
    new_online_key: Annotated[
        bool,
        typer.Option(
            "--new-online-key",
            help="Replace the online key (root keys must be here or with --keys): it was stolen, or signed under a "
            "wrong clock. What it signed counts no longer, here, on the broker and on devices.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what was found.")] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    keys: KeysOption = None,
    broker: BrokerOption = context.DEFAULT_BROKER,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Be believed by devices again: after an old copy of the folder came back, a stolen online key, a wrong clock."""
    repository = context.open_repository(directory, keys, passphrase_file)
    repository.begin_again(dry_run=dry_run)
    releases, desired = context.open_releases(repository)
    with context.open_link(broker) as link, display.transfer(quiet=as_json) as progress:
        publisher = Publisher(releases, desired, link, progress)
        found = recovery.recover(publisher, new_online_key=new_online_key, dry_run=dry_run)
    text = [f"Newer on the broker: {', '.join(found.adopted) or 'nothing'}."]
    if found.ignored:
        text.append(f"Not believed, no key in force signed it: {', '.join(visible(topic) for topic in found.ignored)}.")
    text += [f"{name} is not in the broker's list: release it again if it shall be." for name in found.unlisted]
    if dry_run:
        text.append("Nothing was changed.")
    else:
        if new_online_key:
            text.append("The online key is replaced; devices forget what the old one signed, and keep what they run.")
        text.append(
            f"Signed on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC; published {found.published} messages. Devices take "
            "them when they connect: see `edgewise fleet ls`."
        )
    say("\n".join(text), {**asdict(found), "new_online_key": new_online_key, "dry_run": dry_run}, as_json=as_json)
