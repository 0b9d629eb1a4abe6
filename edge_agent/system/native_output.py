"""What C libraries print on standard error, as log lines: an interpreter or a camera driver knows nothing of JSON.

File descriptor 2 becomes a pipe whose reader logs each line; Python's own error stream keeps the real one, and so do
the tracebacks of a crash. The pipe never blocks who writes: past its 64 KiB, text is dropped.
"""

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from edge_agent.system.repeats import Repeats

_LONGEST: Final = 2000  # characters of one line
_LAST_WORDS: Final = 2.0  # seconds
_log = logging.getLogger(__name__)


def capture(shown: Callable[[str], str] = str) -> TextIO:
    """Take over descriptor 2, once a process; the stream returned is the real standard error.

    `shown` makes of a line what may stand in a log: FFmpeg repeats addresses with the password in them.
    """
    sys.stderr.flush()
    real = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # else a library that prints while it holds Python's lock waits for ever
    os.dup2(writing, 2)
    os.close(writing)
    sys.stderr = real
    faulthandler.enable(real)
    threading.Thread(target=_read, args=(reading, shown), name="native-output", daemon=True).start()
    return real


@contextlib.contextmanager
def cleaned(shown: Callable[[str], str]) -> Iterator[None]:
    """What is printed on descriptor 2 during the block goes where it went, each line as `shown` makes it.

    For commands of a person at a terminal, which have no log. What a child process prints after the block is lost.
    """
    sys.stderr.flush()
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=_pass_on, args=(reading, real, shown), name="native-output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)  # the last writing end, unless a child process lives on
        thread.join(_LAST_WORDS)


def _pass_on(reading: int, real: int, shown: Callable[[str], str]) -> None:
    with os.fdopen(reading, errors="replace") as lines, os.fdopen(real, "w", errors="backslashreplace") as out:
        for line in lines:
            with contextlib.suppress(OSError, ValueError):
                out.write(shown(line))
                out.flush()


def _read(descriptor: int, shown: Callable[[str], str]) -> None:
    repeats = Repeats()
    with os.fdopen(descriptor, errors="replace") as lines:
        for line in lines:
            if (text := line.strip()) and (admitted := repeats.admit(shown(text)[:_LONGEST], time.monotonic())):
                _log.info("%s", admitted)
