"""`edgewise-agent`: the device's command line. argparse only, and each command imports what it needs when it runs."""

import argparse
import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError, ExitCode

_CONFIG: Final = Path("/etc/edgewise/agent.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except EdgewiseError as error:
        print(f"edgewise-agent: {error}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    except KeyboardInterrupt:
        return ExitCode.ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgewise-agent", description="Runs an Edgewise model on this device.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=_CONFIG, help=f"settings file (default: {_CONFIG})")

    run = commands.add_parser("run", parents=[common], help="look, classify and publish until stopped")
    run.add_argument("--log-format", choices=("auto", "json", "text"), help="instead of log.format of the settings")
    run.set_defaults(command=_run)
    return parser


def _run(options: argparse.Namespace) -> int:
    from edge_agent import logs, settings_file  # noqa: PLC0415
    from edge_agent.agent import Agent  # noqa: PLC0415
    from edge_agent.notify import ServiceManager  # noqa: PLC0415

    settings = settings_file.load(options.config)
    log = settings.log
    if options.log_format is not None:
        log = dataclasses.replace(log, format=options.log_format)
    logs.set_up(log)
    stop = threading.Event()
    agent = Agent(settings, manager=ServiceManager(os.environ), reread=lambda: settings_file.load(options.config))
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGHUP, lambda _number, _frame: agent.reload())
    summary = agent.run(stop)
    print(json.dumps(dataclasses.asdict(summary)), flush=True)  # noqa: T201  # the run's last line, for programs
    return ExitCode.OK
