"""Ctrl-C while a command still imports: it ends as a command does (`command_end`), without a traceback.

TensorFlow alone takes seconds, and some libraries turn an interrupt into an error of their own. Nothing has begun then,
so the process ends at once. This module is the first that a command imports, and imports next to nothing itself.
"""

import os
import signal
import sys

_STATUS = 130  # `ExitCode.INTERRUPTED`, whose module would be imported before the handler stands


def end_imports_on_interrupt(*scripts: str) -> None:
    """Called by a package's `__init__`: the first of its modules in `python -m PACKAGE.MODULE` and in its `scripts`.

    In a process that was started otherwise nothing happens. A `command` that begins undoes it.
    """
    # While Python looks for the module of `-m`, and imports its packages for that, this is its name.
    started = sys.argv[0] if sys.argv else ""
    if (started == "-m" or started.rpartition("/")[2] in scripts) and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _end_at_once)


def imports_ended() -> None:
    """An interrupt is a `KeyboardInterrupt` again."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once(_number: int, _frame: object) -> None:
    try:
        os.write(2, b"interrupted.\n")
    finally:
        os._exit(_STATUS)
