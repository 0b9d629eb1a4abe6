"""The `edgewise` command: nouns and verbs, each in its module under `commands`.

Every error that a user can mend ends here as its one sentence on stderr and its exit code. What a command needs is
imported by its module when that is listed here, so heavy libraries are imported inside the commands that use them.
"""

import sys
from importlib import metadata
from typing import Annotated, Final, NoReturn

import typer

from edge_contract.command_end import command
from edge_contract.errors import ExitCode
from edge_contract.version import version
from edge_fleet.commands import device, fleet, keys, lineage, loop, package, push, registry, release, rollout, why

_DISTRIBUTION: Final = "edgewise-toolkit"
_FURTHER: Final = "edgewise.commands"
"""The entry points under which packages above the roles bring nouns of their own; this one may not import them."""

app = typer.Typer(
    name="edgewise",
    help="Release, sign, push and watch the models of a fleet of cameras.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    add_completion=False,
)
app.add_typer(keys.app)
app.add_typer(release.app)
app.add_typer(push.app)
app.add_typer(rollout.app)
app.add_typer(fleet.app)
app.add_typer(device.app)
app.add_typer(loop.app)
app.add_typer(package.app)
app.add_typer(registry.app)
app.command("why")(why.why)
app.command("lineage")(lineage.lineage)
for _entry in metadata.distribution(_DISTRIBUTION).entry_points.select(group=_FURTHER):
    app.add_typer(_entry.load())


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(version())
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line; the process ends with an exit code of `edge_contract.errors`."""
    sys.exit(_status())


@command("edgewise")
def _status() -> int:
    app()  # ends with SystemExit, as Ctrl-C does in it, or raises
    return ExitCode.OK
