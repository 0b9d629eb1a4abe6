"""`edgewise lineage`: from a model on a device back to data, commit and parameters."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_contract import package as packages
from edge_fleet.commands.context import JsonOption, say
from edge_fleet.commands.registry import DEFAULT_LEDGER, LedgerOption, UriOption, as_data, as_line, open_registry
from edge_fleet.registry.mlflow import DEFAULT_URI


def lineage(
    digest: Annotated[
        str,
        typer.Argument(help="The model's sha256 or its start, as a device reports it; or NAME-RELEASE, or an .ewm."),
    ],
    uri: UriOption = DEFAULT_URI,
    ledger: LedgerOption = DEFAULT_LEDGER,
    as_json: JsonOption = False,
) -> None:
    """From a model on a device back to data, commit and parameters."""
    package = packages.read_file(Path(digest)) if digest.endswith(packages.SUFFIX) else None
    registry = open_registry(uri, ledger)
    found = registry.find(digest) if package is None else registry.version_of(package)
    run = registry.training_run(found)
    events = [entry for entry in registry.history(found.name) if entry.subject.get("release") == str(found.release)]
    tags = found.tags
    chain = [
        ("model", f"sha256 {found.digest}, {tags.get('size', '?')} bytes"),
        ("release", f"{found.name} {found.release} {' '.join(f'({alias})' for alias in found.aliases)}".rstrip()),
        ("gate", tags.get("gate", "not known")),
        ("accuracy", f"{tags.get('accuracy', 'not known')} on {tags.get('accuracy_on', '?')}"),
        ("trained by", f"MLflow run {tags['train_run']}" if "train_run" in tags else "not known"),
        ("trained on", tags.get("trained_on", "not known")),
        ("parameters", tags.get("params", "not known")),
        ("pipeline", tags.get("dvc_lock", "not known")),
        ("data", tags.get("dataset", "not known")),
        ("commit", tags.get("git_commit", "not known")),
    ]
    lines = [f"{name:<11} {value}" for name, value in chain]
    if run is not None:
        lines += ["run parameters", *(f"  {name} = {value}" for name, value in sorted(run["params"].items()))]
    lines += ["ledger", *(f"  {as_line(entry)}" for entry in events)]
    data = {**as_data(found), "training": run, "ledger": [msgspec.to_builtins(entry) for entry in events]}
    say("\n".join(lines), data, as_json=as_json)
