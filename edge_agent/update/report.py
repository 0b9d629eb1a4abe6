"""The device's reported state: a `Reported` message when something changed that is worth one."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from edge_agent.update.machine import Phase, State
from edge_contract.messages import ModelRef, Reported

_PROGRESS: Final = 0.05  # of a download, from one report to the next
_PROGRESS_S: Final = 1.0  # between two of them: of a file that comes in a moment nobody follows the parts
_LONGEST_REASON: Final = 1024  # characters, as `messages.Text` has it


class UpdateReport:
    """The reported state of one device."""

    def __init__(self, device: str, session: int, report: Callable[[Reported], None], now: Callable[[], float]) -> None:
        """`report` gets what changed; `now`: seconds since 1970."""
        self._device, self._session, self._report, self._now = device, session, report, now
        self.last: Reported | None = None
        """The last one published."""

    def publish(
        self,
        state: State,
        *,
        active: ModelRef | None,
        downloaded: float,
        revision: int,
        since: float,
        notices: tuple[str, ...],
    ) -> None:
        """Publish this, if it is news.

        `downloaded`: share of the model, 0 to 1. The reason is the state's own, or else the first of `notices` that is
        not empty.
        """
        last, target = self.last, state.target
        progress = {Phase.OFFERED: 0.0, Phase.DOWNLOADING: downloaded}.get(state.phase, 1.0)
        if (
            last is not None
            and last.state == state.phase
            and (progress < min(last.progress + _PROGRESS, 1.0) or abs(self._now() - last.time) < _PROGRESS_S)
        ):
            progress = last.progress  # too little for a message, or too soon
        reported = Reported(
            device=self._device,
            session=self._session,
            active=active,
            state=state.phase,
            target=target.model if target is not None else None,
            revision=revision,
            progress=progress if target is not None else 0.0,
            reason=next((text for text in (state.reason, *notices) if text), "")[:_LONGEST_REASON],
            since=since,
            time=last.time if last is not None else self._now(),
        )
        if reported != last:
            self.last = replace(reported, time=self._now())
            self._report(self.last)
