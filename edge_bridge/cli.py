"""`edgewise-bridge`: the command line of the bridge."""

import argparse
import contextlib
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_bridge import settings
from edge_bridge.web.settings import METRICS_TOKEN
from edge_contract.command_end import command
from edge_contract.errors import ExitCode, UsageError
from edge_contract.log_lines import SERVICE, LogLines
from edge_contract.version import version
from edge_mqtt.address import PASSWORD


@command("edgewise-bridge")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "password":
        return _password()
    if options.command == "labels":
        return _labels_key(options.file)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines(SERVICE))
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, handlers=[handler])
    for chatty in ("uvicorn.error", "uvicorn", "asyncio", "multipart"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    chosen = settings.read(
        options.config, os.environ, broker=options.broker, listen=options.listen, database=options.database
    )
    # After the settings are known to be good: the web server's packages take a second to load.
    from edge_bridge import bridge  # noqa: PLC0415

    with contextlib.suppress(KeyboardInterrupt):  # it serves until then
        bridge.run(chosen)
    return ExitCode.OK


def _password() -> int:
    """Ask for a password, unseen and twice, or read a line of what is piped in; print what the settings take."""
    from edge_bridge.web.access import passwords  # noqa: PLC0415  # the bridge itself starts without it

    if sys.stdin.isatty():
        given = getpass.getpass("Password of the dashboard: ")
        if getpass.getpass("Once more: ") != given:
            raise UsageError("the two are not the same", remedy="run it again")
    else:
        given = sys.stdin.readline(passwords.LONGEST + 2).rstrip("\r\n")
    if not passwords.SHORTEST <= len(given) <= passwords.LONGEST:
        raise UsageError(
            f"a password of {len(given)} characters is not taken",
            remedy=f"give one of {passwords.SHORTEST} to {passwords.LONGEST}",
        )
    sys.stdout.write(f'[web]\npassword_hash = "{passwords.hashed(given)}"\n')
    return ExitCode.OK


def _labels_key(file: Path) -> int:
    """Make a labelling key; print where its halves are and which of them goes where."""
    from edge_bridge.labels import key  # noqa: PLC0415  # the bridge itself starts without it

    public = key.make(file)
    sys.stdout.write(
        f"{file} opens the crops: it stays here, as key in [labels] of the bridge's settings.\n"
        f"{public} goes to the devices, as key in [sampling] of theirs.\n"
    )
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgewise-bridge",
        description="Carry a fleet's MQTT messages to Prometheus, to a prediction log and to a dashboard.",
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="serve until interrupted",
        epilog=f"Secrets come from the environment: {PASSWORD.variable} for the broker, "
        f"{settings.DATABASE.variable} for a database URL with a password, "
        f"{METRICS_TOKEN.variable} for who may read /metrics where the dashboard wants a password.",
    )
    run.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML; options win over it")
    run.add_argument("--broker", metavar="URL", help="mqtt://[user@]host[:port] or mqtts://… (mqtt://127.0.0.1:1883)")
    run.add_argument("--listen", metavar="HOST:PORT", help="address of dashboard and /metrics (127.0.0.1:9108)")
    run.add_argument(
        "--database", metavar="URL", help="sqlite:///FILE or postgresql://host/name (sqlite:///predictions.db)"
    )
    commands.add_parser("password", help="ask for a password and print its hash for the settings")
    labels = commands.add_parser("labels", help="what labelling needs before the bridge runs")
    making = labels.add_subparsers(dest="labels_command", required=True)
    making.add_parser("key", help="make the key that crops are sealed to").add_argument(
        "file", type=Path, metavar="FILE", help="of the private half; the public one is FILE.pub"
    )
    run.add_argument("--verbose", action="store_true", help="log every refused message")
    return parser


if __name__ == "__main__":
    sys.exit(main())
