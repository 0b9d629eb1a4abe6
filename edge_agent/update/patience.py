"""What a staged target waits for before it is run: a hold on site, or the hours of the update window.

The way back never waits: a target that is the model before this one is there because this one is not wanted any more.
"""

import logging
from datetime import datetime
from pathlib import Path

from edge_agent.update import hold, hours
from edge_agent.update.machine import State
from edge_contract.errors import EdgewiseError

_log = logging.getLogger(__name__)


class Patience:
    """The waits of one device; used by one thread."""

    def __init__(self, state_dir: Path, windows: str) -> None:
        """`windows`: as in the settings."""
        self._state_dir, self._windows = state_dir, windows
        self._said = ""

    def waits_for(self, state: State, now: float) -> str:
        """Why this state's target is not run yet, a sentence; empty when it may be. `now`: seconds since 1970."""
        if is_way_back(state):
            return ""
        try:
            waits, self._said = obstacle(self._state_dir, self._windows, now), ""
        except EdgewiseError as error:
            waits = _closed(self._windows, now)
            if str(error) != self._said:
                self._said = str(error)
                _log.warning("%s", error)
        return f"waits: {waits}." if waits else ""


def obstacle(state_dir: Path, windows: str, now: float) -> str:
    """What keeps a new model from being run now, such as "held on site"; empty when nothing does.

    Raises:
        EdgewiseError: the hold cannot be read, and counts as none.
    """
    held = hold.read(state_dir, now)
    return f"held {held}" if held is not None else _closed(windows, now)


def _closed(windows: str, now: float) -> str:
    local = datetime.fromtimestamp(now).astimezone()
    return "" if hours.is_open(windows, local) else f"outside of the update window {windows}"


def is_way_back(state: State) -> bool:
    """Whether the target proved itself here before the model that runs."""
    known = (slot.model.digest for slot in (state.committed, state.previous) if slot is not None)
    return state.target is not None and state.target.model.digest in known
