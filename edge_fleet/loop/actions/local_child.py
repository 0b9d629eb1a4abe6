"""One training on this machine, in a process of its own that outlives the loop's: `python -m … FOLDER`.

The folder's lock is held by this process and by all that it starts, so that whoever looks sees whether anything of the
training still runs, however its first process ended. Where another one has the lock, this one ends at once: there are
never two. What it prints last as JSON is kept as the result, with how it ended, and all that it prints goes to the log.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edge_contract import durable
from edge_contract.bounded_read import read_file
from edge_fleet.loop.actions.outcome import LINE_BYTES

LOCK: Final = "lock"
REQUEST: Final = "request.json"
GROUP: Final = "group"
RESULT: Final = "result.json"
LOG: Final = "log"
REQUEST_BYTES: Final = 1 << 20
RESULT_BYTES: Final = 1 << 20
LOG_BYTES: Final = 64 * 1024 * 1024
"""Of one try; what is printed after that is not kept."""
GRACE_S: Final = 10.0
"""From SIGTERM to SIGKILL."""


class Job(Struct, frozen=True):
    """What is to run."""

    command: Annotated[list[str], Meta(min_length=1)]
    folder: str
    seconds: float
    environment: dict[str, str]


class Ended(Struct, frozen=True):
    """How it did."""

    status: int | None
    """Of the program; None where its time was up or it could not be started."""
    line: str
    """The last line of its output that is a JSON object; empty for none."""
    problem: str = ""


def main() -> None:
    """Run the folder's job, unless it runs already."""
    folder = Path(sys.argv[1])
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if (folder / RESULT).exists():
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # that one is for the program
    durable.write_file(folder / GROUP, str(os.getpgrp()).encode())
    job = msgspec.json.decode(read_file(folder / REQUEST, REQUEST_BYTES), type=Job)
    ended = _run(job, folder / LOG, lock)
    durable.write_file(folder / RESULT, msgspec.json.encode(ended))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpgrp(), signal.SIGKILL)  # whatever it left behind, and this process, which has nothing to do


def _run(job: Job, log: Path, lock: int) -> Ended:
    with log.open("ab") as file:
        writer = _Log(file)
        try:
            program = subprocess.Popen(
                job.command,
                cwd=job.folder,
                env={**os.environ, **job.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(lock,),
                restore_signals=True,
                preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),  # noqa: PLW1509  # no thread is there yet
            )
        except OSError as error:
            return Ended(None, "", f"{job.command[0]} cannot be started ({error.strerror})")
        assert program.stdout is not None  # noqa: S101  # both are pipes
        assert program.stderr is not None  # noqa: S101
        reader = threading.Thread(target=writer.keep, args=(program.stderr,), daemon=True)
        last = _LastLine(writer, program.stdout)
        for thread in (reader, last):
            thread.start()
        problem = ""
        try:
            program.wait(job.seconds)
        except subprocess.TimeoutExpired:
            problem = f"it took longer than {job.seconds / 3600:g} h"
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(GRACE_S)
            program.kill()
            program.wait()
        for thread in (reader, last):
            thread.join(GRACE_S)  # something that it started may still hold the pipe
        return Ended(None if problem else program.returncode, last.line, problem)


class _Log:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left, self._lock = file, LOG_BYTES, threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):  # a full disk is the training's to find
            self._file.write(data[: self._left])
            self._file.flush()
            self._left = max(0, self._left - len(data))

    def keep(self, pipe: IO[bytes]) -> None:
        while data := os.read(pipe.fileno(), 1 << 16):
            self.write(data)


class _LastLine(threading.Thread):
    """Keeps the last line that is a JSON object."""

    def __init__(self, log: _Log, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._log, self._pipe, self.line = log, pipe, ""

    def run(self) -> None:
        rest = b""
        while data := os.read(self._pipe.fileno(), 1 << 16):
            self._log.write(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._see(line)
            rest = rest[: LINE_BYTES + 1]
        self._see(rest)

    def _see(self, line: bytes) -> None:
        text = line.strip()
        if text[:1] == b"{" and len(text) <= LINE_BYTES:
            with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                msgspec.json.decode(text)
                self.line = text.decode()


if __name__ == "__main__":
    main()
