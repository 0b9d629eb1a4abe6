"""What to do about a camera: connect, wait, abandon. The decisions of the capture, without its thread.

Pure: `step(state, event) -> (state, command)`. A read that does not return, a picture that never changes, an error or
a vanished device all end the same way: this connection is given up and another is tried after a wait that doubles,
with jitter, so that a fleet behind one power switch does not come back in step. Times are seconds of a clock that
only grows.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.camera.settings import SourceSettings

_STEADY: Final = 30.0
"""A connection that gave frames for this many seconds has proved itself: the next wait is the first one again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """No connection; the next try is at `until`."""

    until: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """A reader thread is connecting or reading."""

    since: float
    failures: int
    changed: float
    """When the picture last differed from the one before."""
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The file is over, or cannot be read: trying again would show it from the start. Nothing follows."""

    failure: str = ""
    """Why it cannot be read."""


State = Waiting | Open | Ended


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. `busy_since`: when the reader's present call began; None when it is not inside one."""

    now: float
    busy_since: float | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """The reader left a frame; `changed`: it differs from the last."""

    now: float
    changed: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The reader ended by itself."""

    now: float
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The reader came to the end of a file."""


Event = Tick | Arrived | Lost | Finished


@dataclass(frozen=True, slots=True)
class Connect:
    """Start a reader thread."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Leave the reader thread behind, which may never return; `reason` is reported."""

    reason: str


Command = Connect | Abandon | None


def step(state: State, event: Event, settings: SourceSettings, *, camera: bool, jitter: float) -> tuple[State, Command]:
    """What follows from this event. `jitter`: a random number in 0..1.

    A file (`camera` False) never looks frozen, and is not tried again.
    """
    match state, event:
        case Waiting(until, failures), Tick(now):
            return (Open(now, failures, now), Connect()) if now >= until else (state, None)
        case Open(), Tick(now, busy_since):
            reason = _overdue(state, now, busy_since, settings) or _frozen(state, now, settings, camera)
            return _lost(state, now, reason, settings, camera=camera, jitter=jitter) if reason else (state, None)
        case Open(since, failures, changed, frames), Arrived(now, differs):
            proved = now - since >= _STEADY
            return Open(since, 0 if proved else failures, now if differs else changed, frames + 1), None
        case Open(), Lost(now, reason):
            return _lost(state, now, reason, settings, camera=camera, jitter=jitter)
        case Open(), Finished():
            return Ended(), None
        case ((Waiting() | Ended()), (Arrived() | Lost() | Finished())):
            return state, None  # a late event of a reader that was abandoned
        case Ended(), Tick():
            return state, None
        case _:
            # mypy cannot narrow a pair: name both halves.
            raise AssertionError(f"no rule for {state} and {event}")


def _overdue(state: Open, now: float, busy_since: float | None, settings: SourceSettings) -> str:
    limit = settings.read_timeout if state.frames else settings.open_timeout
    if busy_since is None or now - busy_since < limit:
        return ""
    return f"no {'frame' if state.frames else 'connection'} within {limit:g} s: the read hangs and is abandoned"


def _frozen(state: Open, now: float, settings: SourceSettings, camera: bool) -> str:
    if not camera or settings.frozen_after <= 0 or not state.frames or now - state.changed < settings.frozen_after:
        return ""
    return f"the picture has not changed in a single bit for {settings.frozen_after:g} s: the camera is frozen"


def _lost(
    state: Open, now: float, reason: str, settings: SourceSettings, *, camera: bool, jitter: float
) -> tuple[State, Command]:
    if not camera:
        return Ended(reason), Abandon(reason)
    longest = min(settings.longest_wait, settings.first_wait * 2.0 ** min(state.failures, 30))
    return Waiting(now + longest * (0.5 + 0.5 * jitter), state.failures + 1), Abandon(reason)
