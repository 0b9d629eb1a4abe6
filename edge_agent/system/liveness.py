"""One agent a state directory, and whether it is alive: a lock that the kernel frees, a file's time, and its text.

The text names the parts that do not work while the pipeline does; the file is empty while all of them do.

Two agents on one spool would send everything twice; the lock makes the second refuse to start. `status --check`, the
container's health check, asks here.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_contract.errors import EdgewiseError

_FILE: Final = "agent.lock"
TOUCH_S: Final = 20.0
"""How often a running agent touches the file; seldom enough for an SD card."""
_TRIES: Final = 5
_TROUBLE_BYTES: Final = 1000
SILENT_S: Final = 90.0
"""An agent that has not touched it for so long hangs."""


class Liveness:
    """Held by a running agent."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the directory.

        Raises:
            EdgewiseError: another agent has it, or it cannot be written.
        """
        self._clock = clock
        try:
            self._descriptor = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EdgewiseError(
                f"the state directory {directory} cannot be written ({error.strerror})", remedy="set device.state_dir"
            ) from error
        if not self._locked():
            os.close(self._descriptor)
            raise EdgewiseError(
                f"another agent is running on {directory}", remedy="stop it, or give this one its own device.state_dir"
            )
        self._touched, self._trouble = -TOUCH_S, ""
        self.alive()

    def _locked(self) -> bool:
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(0.1)  # a health check may be looking just now
        return False

    def alive(self, trouble: str = "") -> None:
        """Touch the file when that is due; call it as often as you like.

        `trouble`: which part of the agent does not work while the rest does; `trouble()` tells of it.
        """
        if self._clock() - self._touched >= TOUCH_S or trouble != self._trouble:
            self._touched, self._trouble = self._clock(), trouble
            with contextlib.suppress(OSError):  # a full disk: the time is what matters more
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, trouble.encode()[:_TROUBLE_BYTES], 0)
            os.utime(self._descriptor)

    def release(self) -> None:
        """Give the state directory back."""
        os.close(self._descriptor)


def trouble(directory: Path, now: float) -> str:
    """Why no healthy agent runs on this directory; empty when one does. `now`: seconds since 1970.

    Raises:
        EdgewiseError: this user may not read it.
    """
    try:
        descriptor = os.open(directory / _FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"no agent has run on {directory}."
    except OSError as error:
        raise EdgewiseError(
            f"{directory} cannot be read ({error.strerror})", remedy="run this as the agent's user"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        silent = now - os.fstat(descriptor).st_mtime
        if silent > SILENT_S:
            return f"the agent hangs: no sign of it for {silent:.0f} s."
        return os.pread(descriptor, _TROUBLE_BYTES, 0).decode(errors="replace")
    finally:
        os.close(descriptor)
    return f"no agent is running on {directory}."
