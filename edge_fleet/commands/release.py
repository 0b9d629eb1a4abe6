"""`edgewise release`: list a package as a release, withdraw one, renew the signatures' expiry.

`edgewise release FILE.ewm` is short for `edgewise release add FILE.ewm`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from edge_contract import package as packages
from edge_contract.manifest import FACES_FOUND, FEW_FACES, ModelManifest
from edge_contract.visible import visible
from edge_fleet.commands import context
from edge_fleet.commands.context import DirectoryOption, JsonOption, PassphraseOption, say
from edge_fleet.releases.migration import migrate

_ROOT_SOON: Final = timedelta(days=60)  # people have to fetch the root keys


class _AddByDefault(TyperGroup):
    """`release FILE` means `release add FILE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer keeps click's types to itself
        if args and args[0].endswith(packages.SUFFIX):
            args = ["add", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(name="release", help="Releases: what devices may run.", no_args_is_help=True, cls=_AddByDefault)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A model package, such as models/emotion-5.ewm.")],
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    notes: Annotated[str, typer.Option(help="A line that travels with the release.")] = "",
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a package into the list of releases. It runs nowhere before it is pushed."""
    package = packages.read_file(file)
    releases, _ = context.open_releases(context.open_repository(directory, None, passphrase_file))
    migrate(releases)
    added = releases.add(package, notes)
    manifest = package.manifest
    what = f"{manifest.name} {manifest.release} ({manifest.digest[:12]}, {manifest.size:,} bytes)"
    data = {"name": manifest.name, "release": manifest.release, "digest": manifest.digest, "added": added}
    if _shows_no_faces(manifest):
        typer.echo(
            "Warning: the pictures it was trained on hardly show faces, and a device will let it judge faces only; if "
            "they show something else, package it again with `package.around: frame`, under a higher release number.",
            err=True,
        )
    say(f"Released {what}." if added else f"{what} is released already.", data, as_json=as_json)


def _shows_no_faces(manifest: ModelManifest) -> bool:
    """Whether devices are to look for faces for a model whose training pictures showed hardly any, as the gate says."""
    found = None if manifest.gate is None else manifest.gate.checks.get(FACES_FOUND)
    return manifest.crop.around == "face" and isinstance(found, float) and found < FEW_FACES


@app.command("withdraw")
def withdraw(
    name: str,
    release: int,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a release from the list, so that no device activates it any more. Devices that run it go on with it."""
    releases, desired = context.open_releases(context.open_repository(directory, None, passphrase_file))
    migrate(releases)
    gone = releases.withdraw(name, release)
    still = [one.state.scope for one in desired.all() if gone in one.digests]
    text = f"Withdrew {name} {release}. Publish this with: edgewise fleet heal"
    if still:
        text += f"\nStill desired by {', '.join(still)}: push another release there."
    say(text, {"digest": gone, "still_desired_by": still}, as_json=as_json)


@app.command("ls")
def ls(directory: DirectoryOption = context.DEFAULT_DIRECTORY, as_json: JsonOption = False) -> None:
    """Show the listed releases and the desired states that name them."""
    releases, desired = context.open_releases(context.open_repository(directory, None, None))
    states = desired.all()
    rows = [
        {
            "name": target.manifest.name,
            "release": target.manifest.release,
            "digest": target.manifest.digest,
            "size": target.manifest.size,
            "notes": target.notes,
            "desired_by": [one.state.scope for one in states if target.manifest.digest in one.digests],
        }
        for target in releases.listed()
    ]
    text = [
        f"{row['name']} {row['release']}  {str(row['digest'])[:12]}  {row['size']:>10,} bytes  "
        f"{visible(str(row['notes']))}".rstrip()
        for row in rows
    ]
    answer = "\n".join(text) or "Nothing is released yet; run: edgewise release FILE.ewm"
    say(answer, {"releases": rows}, as_json=as_json)


@app.command("refresh")
def refresh(
    clock_is_right: Annotated[
        bool,
        typer.Option(
            "--clock-is-right", help="Sign although nothing was signed here for two months: you looked at it."
        ),
    ] = False,
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Renew the expiry of list, timestamp and desired states. Publish it with: edgewise fleet heal"""
    repository = context.open_repository(directory, None, passphrase_file, clock_is_right=clock_is_right)
    releases, desired = context.open_releases(repository)
    migrate(releases)
    repository.refresh()
    renewed = desired.renew()
    expires = repository.expiries()["timestamp"].isoformat()
    text = f"Signed until {expires}; {len(renewed)} desired states renewed. Publish with: edgewise fleet heal"
    root = repository.expiries()["root"]
    if root - datetime.now(UTC) < _ROOT_SOON:
        text += (
            f"\nThe root expires on {root:%Y-%m-%d}: run `edgewise keys rotate root` with the root keys before that."
        )
    say(text, {"expires": expires, "renewed": len(renewed)}, as_json=as_json)
