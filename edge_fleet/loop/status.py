"""How a loop stands, as a message for those who watch, and its publishing: when it changes, and every minute."""

import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from edge_contract import topics
from edge_contract.errors import EdgewiseError, MessageError
from edge_contract.loop_status import LoopRun, LoopStatus
from edge_contract.messages import encode
from edge_fleet.link import Arrived, Link
from edge_fleet.loop.events import Terms
from edge_fleet.loop.state import Run, State, budget_left, waits_until

REPEAT_S: Final = 60.0


def loop_status(state: State, terms: Terms, now: float) -> LoopStatus:
    """The message, at a time."""
    until = waits_until(state, terms.cooldown)
    return LoopStatus(
        model=state.model,
        paused=state.paused,
        current=None if state.current is None else _shown(state.current),
        recent=tuple(map(_shown, state.recent)),
        waits_until=until if until > now else 0.0,
        budget_left=budget_left(state, terms.trainings_per_week, now),
        time=now,
    )


def encoded(status: LoopStatus) -> bytes:
    """The message, with as many runs and steps as fit one.

    Raises:
        MessageError: it fits none even so.
    """
    while True:
        try:
            return encode(status)
        except MessageError:
            if status.recent:
                status = replace(status, recent=status.recent[: len(status.recent) // 2])
            elif status.current is not None and len(status.current.steps) > 1:
                steps = status.current.steps
                status = replace(status, current=replace(status.current, steps=steps[-(len(steps) // 2) :]))
            else:
                raise


class StatusPublisher:
    """Retains how one loop stands."""

    def __init__(self, link: Link, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`say` is called with a sentence for the operator's log."""
        self._link, self._say, self._clock = link, say, clock
        self._last, self._sent, self._said = b"", 0.0, ""

    def show(self, status: LoopStatus) -> None:
        """Publish it, if it changed or is due again; what fails is said once and tried again."""
        timeless = encoded(replace(status, time=0.0))
        if (timeless == self._last and self._clock() - self._sent < REPEAT_S) or not self._link.connected:
            return
        try:
            self._link.publish([Arrived(topics.loop_status(status.model), encoded(status))])
        except EdgewiseError as error:
            if str(error) != self._said:
                self._said = str(error)
                self._say(f"how the loop stands cannot be shown: {error}")
            return
        self._last, self._sent, self._said = timeless, self._clock(), ""


def _shown(run: Run) -> LoopRun:
    return LoopRun(**{name: getattr(run, name) for name in LoopRun.__struct_fields__})
