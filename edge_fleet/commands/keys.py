"""`edgewise keys`: make, list and rotate signing keys."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edge_contract import durable
from edge_contract.errors import UsageError
from edge_fleet.commands import context
from edge_fleet.commands.context import DirectoryOption, JsonOption, KeysOption, PassphraseOption, say
from edge_fleet.releases.metadata_folder import PUBLIC

app = typer.Typer(name="keys", help="Signing keys: make, list, rotate.", no_args_is_help=True)


@app.command("init")
def init(
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    root_keys: Annotated[int, typer.Option(min=1, max=9, help="How many root keys to make.")] = 3,
    threshold: Annotated[int, typer.Option(min=1, max=9, help="How many of them must sign a new root.")] = 2,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make root, release and online keys and an empty signed list of releases. Again after a kill: what is missing."""
    repository = context.open_repository(directory, None, passphrase_file)
    root = directory / "root.json"
    if root.exists() and not repository.exists:
        raise UsageError(
            f"{directory} belongs to a fleet whose metadata are missing here", remedy="run `edgewise fleet recover`"
        )
    if root.exists() or not repository.exists:
        repository.create(root_keys=root_keys, threshold=threshold)
    root_keys, threshold = repository.root_signers()
    durable.write_file(root, repository.first_root(), mode=PUBLIC)
    files = [path for name, _, path in repository.key_files() if name == "root" and path is not None]
    lines = [
        f"Made {root_keys} root keys ({threshold} must sign), a release key and an online key in {directory / 'keys'}.",
        f"Devices are installed with {root}; it is public.",
        "Move the root keys to separate places that are not connected, and keep copies:",
        *(f"  {shlex.quote(str(path))}" for path in files),
    ]
    data = {"root": str(root), "root_keys": [str(path) for path in files], "threshold": threshold}
    say("\n".join(lines), data, as_json=as_json)


@app.command("ls")
def ls(
    directory: DirectoryOption = context.DEFAULT_DIRECTORY, keys: KeysOption = None, as_json: JsonOption = False
) -> None:
    """Show the keys in force, where they are, and when each role's metadata expires."""
    repository = context.open_repository(directory, keys, None)
    rows: list[dict[str, Any]] = [
        {"name": name, "keyid": key.keyid, "file": str(path) if path else None}
        for name, key, path in repository.key_files()
    ]
    expiries = {role: expiry.isoformat() for role, expiry in repository.expiries().items()}
    text = [f"{row['name']:8} {row['keyid'][:12]}  {row['file'] or 'not on this machine'}" for row in rows]
    text += [f"{role:9} expires {expiry}" for role, expiry in expiries.items()]
    say("\n".join(text), {"keys": rows, "expires": expiries}, as_json=as_json)


@app.command("rotate")
def rotate(
    role: Annotated[str, typer.Argument(help="release or online: a new key; root: the same keys, a new expiry.")],
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
    keys: KeysOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key by a new root version, signed by the offline root keys. Then: edgewise fleet heal"""
    if role not in {"root", "release", "online"}:
        raise typer.BadParameter(f"{role!r} is not one of root, release, online.")
    chosen: Literal["root", "release", "online"] = role  # type: ignore[assignment]  # one of the three, as checked
    repository = context.open_repository(directory, keys, passphrase_file)
    _, desired = context.open_releases(repository)
    states = desired.all()
    version = repository.rotate(chosen)
    if role == "online":
        desired.reissue(states)
    text = f"Root version {version} is signed. Publish it with: edgewise fleet heal"
    say(text, {"root_version": version}, as_json=as_json)


@app.command("root")
def root(
    output: Annotated[Path, typer.Argument(help="Where to write it.")],
    directory: DirectoryOption = context.DEFAULT_DIRECTORY,
) -> None:
    """Write the public root metadata that a device is installed with."""
    durable.write_file(output, context.open_repository(directory, None, None).first_root(), mode=PUBLIC, parents=True)
    typer.echo(f"Wrote {output}.")
