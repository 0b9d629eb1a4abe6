"""`edgewise-bridge`: the command line of the bridge."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_bridge import settings
from edge_contract.command_end import command
from edge_contract.errors import ExitCode
from edge_contract.version import version
from edge_contract.visible import visible, visible_lines
from edge_mqtt.address import PASSWORD


@command("edgewise-bridge")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit status."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
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


class _Lines(logging.Formatter):
    """One line a message, whatever a device or the broker wrote into it; a traceback has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        return visible_lines(super().formatException(ei))


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
        f"{settings.DATABASE.variable} for a database URL with a password.",
    )
    run.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML; options win over it")
    run.add_argument("--broker", metavar="URL", help="mqtt://[user@]host[:port] or mqtts://… (mqtt://127.0.0.1:1883)")
    run.add_argument("--listen", metavar="HOST:PORT", help="address of dashboard and /metrics (127.0.0.1:9108)")
    run.add_argument(
        "--database", metavar="URL", help="sqlite:///FILE or postgresql://host/name (sqlite:///predictions.db)"
    )
    run.add_argument("--verbose", action="store_true", help="log every refused message")
    return parser


if __name__ == "__main__":
    sys.exit(main())
