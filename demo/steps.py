"""One printed line a step, with the time it took; and commands that are steps."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_contract.errors import EdgewiseError


class Steps:
    """Prints what is being done and, when it is done, one line with its result and seconds."""

    def __init__(self) -> None:
        self._out = sys.stdout
        self._live = sys.stdout.isatty()

    @contextmanager
    def step(self, title: str, *, shows_more: bool = False) -> Iterator["Result"]:
        """Time a step; the caller puts its outcome into `Result.text`. A failed step prints its line too.

        `shows_more`: the step itself writes to the terminal, such as a progress bar, so its line is not replaced.
        """
        result = Result()
        begun = time.monotonic()
        if self._live:
            self._out.write(f"  … {title}" + ("\n" if shows_more else ""))
            self._out.flush()
        done = False
        try:
            yield result
            done = True
        finally:
            start = "\r\x1b[2K" if self._live and not shows_more else ""  # replace the line that said it was under way
            seconds = time.monotonic() - begun
            self._out.write(f"{start}  {'✓' if done else '✗'} {title:<34} {seconds:6.1f} s  {result.text}\n")
            self._out.flush()

    def say(self, text: str) -> None:
        """Print a line that is no step."""
        self._out.write(f"  {text}\n")
        self._out.flush()


class Result:
    """The text that is printed beside a step's time."""

    text = ""


def run(
    arguments: Sequence[str], log: Path, *, accept: tuple[int, ...] = (0,), show: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output goes to `log`, and with `show` to a terminal if there is one.

    Raises:
        EdgewiseError: it ended with a status that is not in `accept`; the text shows the end of its output.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    output = None if show and sys.stdout.isatty() else subprocess.PIPE
    with log.open("a") as errors:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, text=True, check=False)
        errors.write(done.stdout or "")
    if done.returncode not in accept:
        command = " ".join(str(part) for part in arguments[:4])
        raise EdgewiseError(f"`{command} …` ended with status {done.returncode}:\n{log.read_text()[-2000:]}")
    return done
