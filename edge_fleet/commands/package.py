"""`edgewise package`: inspect a package, verify it, compare two. Nothing is changed."""

import textwrap
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from edge_contract import package as packages
from edge_contract.errors import TrustError
from edge_contract.manifest import ModelManifest, digest_of
from edge_contract.package import ModelPackage
from edge_fleet.commands import display
from edge_fleet.commands.context import JsonOption, say
from edge_vision import confined_goldens

app = typer.Typer(name="package", help="Packages: what an .ewm file holds.", no_args_is_help=True)

_LONGEST_TEXT: Final = 100  # characters; a digest has 64
_LINEAGE: Final = {"git_commit": "commit", "dvc_lock": "pipeline", "mlflow_run": "run", "trained_on": "trained"}
"""What lineage is called in ten columns."""

FileArgument = Annotated[Path, typer.Argument(help="A model package, such as models/emotion-5.ewm.")]


@app.command("inspect")
def inspect(
    file: FileArgument,
    card: Annotated[bool, typer.Option("--card", help="Print the model card instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a package's manifest; size and digest of its model are checked on the way."""
    package = packages.read_file(file)
    if card:
        display.write(package.card)
        return
    data = _without_goldens(package.manifest)
    say(_describe(package), data, as_json=as_json)


@app.command("verify")
def verify(
    file: FileArgument,
    structure_only: Annotated[
        bool, typer.Option("--structure-only", help="Do not run the model; no interpreter is needed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a package: its parts, the model's size and digest, and that it answers its goldens here."""
    data = packages.bytes_of(file)
    manifest = packages.read(data, str(file)).manifest
    answer: dict[str, Any] = {"file": str(file), "digest": manifest.digest, "goldens": None, "runtime": None}
    if structure_only:
        say(f"{file} is whole; its model was not run.", answer, as_json=as_json)
        return
    checked = confined_goldens.check(data, str(file))
    if not checked.run:
        raise TrustError(f"{file} carries no goldens, so nothing can be said about it", remedy="do not run it here")
    if checked.failed:
        raise TrustError(
            f"{file} answers {checked.failed} of {checked.run} goldens otherwise than it should on "
            f"{checked.runtime} (up to {checked.worst} steps off)",
            remedy="do not run it here",
        )
    answer |= {"goldens": checked.run, "runtime": checked.runtime}
    say(
        f"{file} is whole and answers its {checked.run} goldens exactly on {checked.runtime}.",
        answer,
        as_json=as_json,
    )


@app.command("diff")
def diff(old: FileArgument, new: FileArgument, as_json: JsonOption = False) -> None:
    """Show what differs between two packages."""
    first, second = packages.read_file(old), packages.read_file(new)
    before, after = _flat(_without_goldens(first.manifest)), _flat(_without_goldens(second.manifest))
    changed = {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }
    if first.card != second.card:
        changed["card"] = (f"{len(first.card)} characters", f"{len(second.card)} characters")
    width = max(map(len, changed), default=0)
    lines = [f"{key:<{width}}  {_brief(was)} → {_brief(now)}" for key, (was, now) in changed.items()]
    text = "\n".join(lines) or "The packages are the same."
    say(text, {"changed": {key: {"old": was, "new": now} for key, (was, now) in changed.items()}}, as_json=as_json)


def _describe(package: ModelPackage) -> str:
    manifest = package.manifest
    lines = [
        f"{manifest.name} {manifest.release}",
        f"  model     {manifest.size:,} bytes, sha256 {manifest.digest}",
        f"  labels    {', '.join(manifest.labels)}",
        f"  input     {manifest.input.dtype} {list(manifest.input.shape)} {manifest.input.color}, "
        f"face margin {manifest.crop.margin:g}, {manifest.crop.shift_y:g} down",
        f"  output    {manifest.output.dtype} of a model in {manifest.quantization}, {len(manifest.goldens)} goldens",
        f"  budget    {1000 * manifest.budget.latency:g} ms, {manifest.budget.memory / 2**20:g} MiB",
    ]
    if manifest.accuracy is not None:
        score = manifest.accuracy.int8
        lines.append(
            f"  accuracy  {score.accuracy:.2%} [{score.low:.2%}, {score.high:.2%}] int8, "
            f"{manifest.accuracy.float.accuracy:.2%} float, on {score.dataset} {score.split}, n = {score.n}"
        )
    if manifest.gate is not None:
        lines.append(
            f"  gate      {'passed' if manifest.gate.passed else 'REFUSED: ' + '; '.join(manifest.gate.reasons)}"
        )
    lineage = msgspec.to_builtins(manifest.lineage)
    lines += [f"  {_LINEAGE.get(key, key):<9} {value}" for key, value in lineage.items() if value]
    if manifest.caveat:
        lines.append(textwrap.fill(manifest.caveat, 112, initial_indent="  caveat    ", subsequent_indent=" " * 12))
    return "\n".join(lines)


def _brief(value: Any) -> str:
    """A value for people, of which `--json` has all digits; long texts differ somewhere, which `--json` shows."""
    match value:
        case None:
            return "-"
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return f"{value:.5g}"
        case list() | tuple():
            return f"[{', '.join(map(_brief, value))}]"
        case str() if len(value) > _LONGEST_TEXT:
            return f"{len(value)} characters, {digest_of(value.encode())[:12]}"
        case _:
            return str(value)


def _without_goldens(manifest: ModelManifest) -> dict[str, Any]:
    """The manifest for reading: thousands of base64 digits as their number and digest."""
    data: dict[str, Any] = msgspec.to_builtins(manifest)
    packed = msgspec.json.encode(manifest.goldens)
    data["goldens"] = {"count": len(manifest.goldens), "digest": digest_of(packed)}
    return data


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found
