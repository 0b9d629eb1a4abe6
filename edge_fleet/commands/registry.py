"""`edgewise registry`: packages, challengers and champions, and the record of their promotions."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from edge_contract import package as packages
from edge_fleet.commands.context import JsonOption, say
from edge_fleet.commands.display import as_text
from edge_fleet.registry.ledger import Entry, Ledger
from edge_fleet.registry.mlflow import DEFAULT_URI, Version
from edge_fleet.registry.registry import Registry

app = typer.Typer(name="registry", help="The model registry: challengers and champions.", no_args_is_help=True)

DEFAULT_LEDGER: Final = Path("fleet/ledger.jsonl")

UriOption = Annotated[
    str, typer.Option("--registry", envvar="MLFLOW_TRACKING_URI", help="An MLflow store: sqlite:///FILE or a server.")
]
LedgerOption = Annotated[Path, typer.Option("--ledger", envvar="EDGEWISE_LEDGER", help="The record of promotions.")]


@app.command("ls")
def ls(uri: UriOption = DEFAULT_URI, ledger: LedgerOption = DEFAULT_LEDGER, as_json: JsonOption = False) -> None:
    """List what is registered."""
    found = open_registry(uri, ledger).versions()
    table = Table("model", "release", "digest", "accuracy [95 %]", "on", "alias", box=None, pad_edge=False)
    for one in found:
        accuracy, measured_on = one.tags.get("accuracy", ""), one.tags.get("accuracy_on", "").partition(",")[0]
        table.add_row(one.name, str(one.release), one.digest[:12], accuracy, measured_on, ", ".join(one.aliases) or "-")
    text = as_text(table) if found else "Nothing is registered yet; run: edgewise registry register FILE.ewm"
    say(text, {"versions": [as_data(one) for one in found]}, as_json=as_json)


@app.command("show")
def show(
    name: str,
    release: int,
    uri: UriOption = DEFAULT_URI,
    ledger: LedgerOption = DEFAULT_LEDGER,
    as_json: JsonOption = False,
) -> None:
    """Show one registered package with its tags."""
    found = open_registry(uri, ledger).get(name, release)
    lines = [f"{found.name} {found.release}  {', '.join(found.aliases)}".rstrip()]
    lines += [f"  {key:<12} {value}" for key, value in sorted(found.tags.items())]
    lines += [f"  {'run':<12} {found.run}", f"  {'version':<12} {found.version}"]
    say("\n".join(lines), as_data(found), as_json=as_json)


@app.command("register")
def register(
    file: Annotated[Path, typer.Argument(help="A model package, such as models/emotion-5.ewm.")],
    uri: UriOption = DEFAULT_URI,
    ledger: LedgerOption = DEFAULT_LEDGER,
    as_json: JsonOption = False,
) -> None:
    """Register a package; it becomes the challenger of its name."""
    package = packages.read_file(file)  # before a store is made for it
    found = open_registry(uri, ledger).register(package)
    state = " and ".join(found.aliases) or "neither challenger nor champion"
    say(f"{found.name} {found.release} ({found.digest[:12]}) is registered: {state}.", as_data(found), as_json=as_json)


@app.command("promote")
def promote(
    name: str,
    release: int,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the ledger.")] = "",
    uri: UriOption = DEFAULT_URI,
    ledger: LedgerOption = DEFAULT_LEDGER,
    as_json: JsonOption = False,
) -> None:
    """Make a registered release the champion of its name."""
    found = open_registry(uri, ledger).promote(name, release, reason)
    say(f"{name} {release} ({found.digest[:12]}) is champion.", as_data(found), as_json=as_json)


@app.command("history")
def history(
    name: Annotated[str, typer.Argument(help="One model's name; all when left out.")] = "",
    uri: UriOption = DEFAULT_URI,
    ledger: LedgerOption = DEFAULT_LEDGER,
    as_json: JsonOption = False,
) -> None:
    """Who registered and promoted what, and when; the ledger's chain is verified first."""
    entries = open_registry(uri, ledger).history(name)
    nothing = f"Nothing is recorded of {name}." if name else "Nothing has been registered or promoted yet."
    text = "\n".join(map(as_line, entries)) or nothing
    say(text, {"entries": [msgspec.to_builtins(entry) for entry in entries]}, as_json=as_json)


def open_registry(uri: str, ledger: Path) -> Registry:
    """The registry of a command's options."""
    return Registry(uri, Ledger(ledger), time.time)


def as_data(version: Version) -> dict[str, Any]:
    """A version for `--json`."""
    return {
        "name": version.name,
        "release": version.release,
        "version": version.version,
        "digest": version.digest,
        "aliases": list(version.aliases),
        "run": version.run,
        "tags": version.tags,
    }


def as_line(entry: Entry) -> str:
    """A ledger entry for people."""
    when = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="seconds")
    subject = entry.subject
    after = f", after {subject['before']}" if "before" in subject else ""
    why = f": {subject['reason']}" if "reason" in subject else ""
    what = f"{subject.get('name', '?')} {subject.get('release', '?')} ({subject.get('digest', '')[:12]})"
    did = {"register": "registered", "promote": "promoted"}.get(entry.action, entry.action)
    return f"{entry.sequence:>4}  {when}  {entry.actor} {did} {what}{after}{why}"
