"""How every Edgewise command ends: a status of `ExitCode`, and at most one sentence on standard error, no traceback.

What a role foresees is its own `EdgewiseError`. Here is what may happen to any command at any line: a disk that is full
or read-only, a file of another user, Ctrl-C, a reader that closed the pipe. Anything else is a mistake in the program,
and its traceback is shown.
"""

import contextlib
import errno
import functools
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, ParamSpec

from edge_contract.errors import EdgewiseError, ExitCode
from edge_contract.import_interrupt import imports_ended
from edge_contract.visible import visible

P = ParamSpec("P")
_AGAIN_S: Final = 0.01
_LAST_WORDS_S: Final = 0.2  # standard error may be a pipe that another thread passes on
_REMEDIES: Final = {
    errno.ENOSPC: ("the disk is full", "free some space, or name a folder on another disk"),
    errno.EDQUOT: ("this user's share of the disk is used up", "free some space, or name a folder on another disk"),
    errno.EFBIG: ("the file is too large", "name another file, or raise the limit (`ulimit -f`)"),
    errno.EROFS: ("the disk is read-only", "name a folder that can be written, or mount the disk for writing"),
    errno.EACCES: ("permission denied", "run this as the user whose file it is, or name another"),
    errno.EPERM: ("not permitted", "run this as the user whose file it is, or name another"),
    errno.ENOENT: ("there is no such file or folder", "name another"),
    errno.ENOTDIR: ("a part of its path is a file", "name another"),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.EEXIST: ("it is there already, as something else", "move it away, or name another"),
    errno.ENAMETOOLONG: ("the name is too long", "name another"),
    errno.ELOOP: ("its links lead in a circle", "name another"),
    errno.ENODEV: ("it is a pipe or a device", "name a file"),
    errno.EINVAL: ("no file can have such a name", "name another"),
    errno.EMFILE: ("this process has too many open files", "raise the limit (`ulimit -n`)"),
    errno.ENOMEM: ("there is not enough memory", "end other programs, or ask for less at once"),
    errno.EIO: ("the disk cannot be read or written", "check it, and name a folder on another"),
    errno.ETXTBSY: ("another program uses it", "end that program first"),
}
"""What is wrong and what to do, by the number that the system gives."""


def command(name: str = "") -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Make a function that returns a status the `main` of a command: what goes wrong in it is said as "NAME: SENTENCE".

    Without a name the sentence stands alone. `SystemExit`, with which argparse ends, passes.
    """

    def ended(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def status(*arguments: P.args, **options: P.kwargs) -> int:
            return _run(f"{name}: " if name else "", lambda: main(*arguments, **options))

        return status

    return ended


def _run(prefix: str, main: Callable[[], int]) -> int:
    imports_ended()
    _open_closed_streams()
    before = sys.unraisablehook
    sys.unraisablehook = functools.partial(_keep_interrupt, before)
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()  # what fails here would be a traceback at the very end
    except KeyboardInterrupt:
        return _interrupted(prefix)
    except Exception as error:
        if _began_with_interrupt(error):
            return _interrupted(prefix)
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _discard_output()  # who read it, such as `head`, has seen enough
            return ExitCode.ERROR
        if (known := explained(error)) is None:
            raise
        _say(f"{prefix}{known}")
        _discard_output()
        return known.exit_code
    finally:
        sys.unraisablehook = before


def _keep_interrupt(before: Callable[["sys.UnraisableHookArgs"], object], lost: "sys.UnraisableHookArgs") -> None:
    """An interrupt that came inside a finalizer or a weak reference's callback, where Python drops it, comes again."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        before(lost)
        return
    with contextlib.suppress(ValueError):  # another thread: none is interrupted
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


def end_process(error: EdgewiseError, name: str = "") -> NoReturn:
    """End the process with the error's sentence, as `command` does; for a thread whose main thread never returns."""
    _say(f"{name}: {error}" if name else str(error))
    time.sleep(_LAST_WORDS_S)
    os._exit(error.exit_code)


def _interrupted(prefix: str) -> int:
    _say(f"{prefix}interrupted.")
    _discard_output()
    return ExitCode.INTERRUPTED


def _began_with_interrupt(error: BaseException) -> bool:
    """Whether a library, or what cleaned up behind Ctrl-C, made another error of it."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, KeyboardInterrupt):
            return True
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return False


def explained(error: BaseException) -> EdgewiseError | None:
    """The error as a sentence with its remedy; None where it is none that a user can mend."""
    if isinstance(error, EdgewiseError):
        return error
    if isinstance(error, MemoryError):
        problem, remedy = _REMEDIES[errno.ENOMEM]
        return EdgewiseError(problem, remedy=remedy)
    if _of_sqlite(error):
        return _of_database(error)
    if isinstance(error, OSError) and error.errno is not None:
        problem, remedy = _REMEDIES.get(error.errno, (error.strerror or type(error).__name__, ""))
        named = " and ".join(str(one) for one in (error.filename, error.filename2) if one is not None)
        return EdgewiseError(
            f"{named}: {problem}" if named else problem,
            remedy=remedy or "look at what it names, and run this again",
        )
    return None


def _of_sqlite(error: BaseException) -> bool:
    """Whether it is a database's own; the library is not loaded for the question."""
    library = sys.modules.get("sqlite3")
    return library is not None and isinstance(error, (library.OperationalError, library.DatabaseError))


def _of_database(error: BaseException) -> EdgewiseError:
    text = str(error)
    if "full" in text:
        return EdgewiseError("a database cannot be written: the disk is full", remedy="free some space")
    return EdgewiseError(
        f"a database cannot be used ({text})", remedy="check its disk and its owner, or name a folder on another disk"
    )


def _open_closed_streams() -> None:
    """A stream that whoever started this closed is None, which no one expects who writes to it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # the process's own


def _say(text: str) -> None:
    """One line; a standard error that is closed or full hears nothing."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{visible(text)}\n")
        sys.stderr.flush()


def _reader_is_gone() -> bool:
    """Whether the pipe that broke is standard output's, and not one to a child or a socket."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard_output() -> None:
    """What standard output still holds and nobody takes goes nowhere: Python would complain of it at the very end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
