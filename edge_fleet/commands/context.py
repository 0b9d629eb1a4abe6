"""What the release side's commands share: where the repository and the broker are, and how answers are printed.

The environment is read here and nowhere else, once a command.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge_fleet.commands import display
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.keys import KeyStore, read_passphrase
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_mqtt.address import PASSWORD, BrokerAddress

DirectoryOption = Annotated[
    Path, typer.Option("--repository", envvar="EDGEWISE_REPOSITORY", help="The release side's folder.")
]
KeysOption = Annotated[
    list[Path] | None, typer.Option("--keys", help="A further folder with keys, such as a stick with root keys.")
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        envvar="EDGEWISE_PASSPHRASE_FILE",
        help="File whose first line opens the keys; or set EDGEWISE_PASSPHRASE.",
    ),
]
BrokerOption = Annotated[
    str, typer.Option("--broker", envvar="EDGEWISE_BROKER", help="mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

DEFAULT_DIRECTORY: Final = Path("fleet")
DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"


def open_repository(
    directory: Path, keys: list[Path] | None, passphrase_file: Path | None, *, clock_is_right: bool = False
) -> Repository:
    """The repository of a command's options."""
    passphrase = read_passphrase(passphrase_file, os.environ)
    store = KeyStore((directory / "keys", *(keys or [])), passphrase)
    return Repository(directory, store, lambda: datetime.now(UTC), clock_is_right=clock_is_right)


def open_releases(repository: Repository) -> tuple[Releases, DesiredStates]:
    """What is listed and what is desired there."""
    return Releases(repository), DesiredStates(repository, time.time)


def broker_address(broker: str, environment: Mapping[str, str] = os.environ) -> BrokerAddress:
    """The broker of a command's option; certificate files and the password come from the environment."""

    def path(name: str) -> Path | None:
        return Path(environment[name]) if environment.get(name) else None

    return BrokerAddress.parse(
        broker,
        password=PASSWORD.read(environment),
        ca=path("EDGEWISE_BROKER_CA"),
        certificate=path("EDGEWISE_BROKER_CERTIFICATE"),
        key=path("EDGEWISE_BROKER_KEY"),
    )


def open_link(broker: str, environment: Mapping[str, str] = os.environ, *, patient: bool = False) -> Link:
    """A link to the broker, for long if `patient`."""
    return Link(broker_address(broker, environment), patient=patient)


def say(text: str, data: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a command's answer: the text for people, or the data as one line of JSON."""
    if as_json:
        typer.echo(json.dumps(data, sort_keys=True))
    else:
        display.write(text)
