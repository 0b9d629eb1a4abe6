"""A hold: a person on site keeps this device at the model that runs, until a time or until it is taken back.

A small file in the state directory, written by `edgewise-agent hold` and read by the agent while a target is staged. A
damaged one is said and ignored: what nobody can read holds nothing.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edge_contract.bounded_read import read_file
from edge_contract.durable import sync_directory, write_file
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.messages import Seconds

FILE: Final = "hold.json"
LONGEST_REASON: Final = 200  # characters
LONGEST_S: Final = 366 * 86400.0
_LONGEST: Final = 4096  # bytes of the file
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": 60.0, "h": 3600.0, "d": 86400.0}


class Hold(Struct, frozen=True, kw_only=True):
    """What a person said."""

    since: Seconds
    until: Seconds | None = None
    """Seconds since 1970; None: until it is taken back."""
    reason: Annotated[str, Meta(max_length=LONGEST_REASON, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z")] = ""

    def __str__(self) -> str:
        """As a sentence goes on after "held"."""
        until = "" if self.until is None else f" until {in_words(self.until)}"
        return f"on site{until}" + (f" ({self.reason})" if self.reason else "")


def of(until: str | None, reason: str, now: float) -> Hold:
    """The hold that a person asks for. `until`: a duration (`90m`, `12h`, `3d`) or a time of the ISO form, without a
    zone the device's own; `now`: seconds since 1970.

    Raises:
        UsageError: one of the two cannot be meant.
    """
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise UsageError(
            f"the reason of a hold is one line of at most {LONGEST_REASON} characters", remedy="write it shorter"
        )
    if until is None:
        return Hold(since=now, reason=reason)
    end = _moment(until, now)
    if not now < end <= now + LONGEST_S:
        said = "is over" if end <= now else "is more than a year away"
        raise UsageError(
            f"{in_words(end)} {said}", remedy="give a later time" if end <= now else "hold without --until"
        )
    return Hold(since=now, until=end, reason=reason)


def _moment(until: str, now: float) -> float:
    if found := _DURATION.fullmatch(until):
        return now + int(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(until).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{until!r} is neither a duration nor a time",
            remedy="write 90m, 12h or 3d, or a local time such as 2026-12-24T18:00",
        ) from error


def in_words(moment: float) -> str:
    """A time since 1970 as the device's local time, to the minute."""
    try:
        return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "the end of the calendar"


def read(state_dir: Path, now: float) -> Hold | None:
    """The hold that is in force; None while there is none. `now`: seconds since 1970.

    Raises:
        EdgewiseError: the file cannot be read or is damaged.
    """
    path = state_dir / FILE
    try:
        hold = msgspec.json.decode(read_file(path, _LONGEST), type=Hold)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise EdgewiseError(
            f"the hold {path} cannot be read ({error.strerror})", remedy="run this as the agent's user"
        ) from error
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EdgewiseError(
            f"the hold {path} is damaged and counts as none", remedy="run `edgewise-agent hold` or `resume` again"
        ) from error
    return None if hold.until is not None and hold.until <= now else hold


def write(state_dir: Path, hold: Hold) -> None:
    """Hold, in the place of any hold before.

    Raises:
        EdgewiseError: the state directory cannot be written.
    """
    try:
        write_file(state_dir / FILE, msgspec.json.encode(hold), mode=0o600)
    except OSError as error:
        raise _unwritable(state_dir, error) from error


def take_back(state_dir: Path) -> bool:
    """End any hold; whether a file of one was there.

    Raises:
        EdgewiseError: the state directory cannot be written.
    """
    try:
        (state_dir / FILE).unlink()
        sync_directory(state_dir)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritable(state_dir, error) from error
    return True


def _unwritable(state_dir: Path, error: OSError) -> EdgewiseError:
    return EdgewiseError(
        f"{state_dir} cannot be written ({error.strerror})",
        remedy="run this as the agent's user, with the settings of an agent that has run here",
    )
