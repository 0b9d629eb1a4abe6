"""Takes the events of an update in order: asks `machine` for the next state, writes it, has the work done, reports it.

Each transition is one transaction, written before its work, so a power cut costs time and nothing else. A disk that
refuses a file refuses the target; one that refuses the state itself changes nothing, and the work is done again later.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import assert_never

from msgspec.structs import replace

from edge_agent.update.desired_tracker import DesiredTracker
from edge_agent.update.events import Event, Refused
from edge_agent.update.machine import Command, Remember, Run, State, Work, in_shadow, step, work_of
from edge_agent.update.probation import Probation
from edge_agent.update.report import UpdateReport
from edge_agent.update.store import Failure, StateStore
from edge_agent.update.work import NEEDS_METADATA, UpdateWork

_log = logging.getLogger(__name__)


class UpdateRunner:
    """The state of one device's update, and what leads from one to the next; used by one thread at a time."""

    def __init__(
        self,
        store: StateStore,
        work: UpdateWork,
        probation: Probation,
        tracker: DesiredTracker,
        report: UpdateReport,
        *,
        runtime: str,
        now: Callable[[], float],
        waits_for: Callable[[State], str],
    ) -> None:
        """`runtime`: what runs models here; a failure is remembered for it. `now`: seconds since 1970.

        `waits_for`: what a target that is staged waits for before it is run; empty when for nothing.
        """
        self._store, self._work, self._probation = store, work, probation
        self._tracker, self._report, self._runtime = tracker, report, runtime
        self.state = store.update() or State(committed=work.slots.current())
        self._now, self._waits_for, self._waiting = now, waits_for, ""
        self.held = False
        """The work of this state waits for metadata that hold."""
        self.passing = False
        """What ended the update here may pass by itself."""
        self.working = False
        """Work is done as it comes up; before, in the start, only what the pipeline waits for."""

    def take(self, *events: Event) -> None:
        """Take these events, then those that their work leads to.

        Raises:
            sqlite3.Error: the state cannot be written; it is what it was.
        """
        waiting = deque(events)
        while waiting:
            waiting.extend(self._transition(waiting.popleft()))

    def resume(self) -> None:
        """Do the work of this state, once more or for the first time.

        Raises:
            sqlite3.Error: as `take`.
        """
        self.take(*self._begin(work_of(self.state)))

    def run_proven(self) -> None:
        """Have the committed model run while a start cannot be written.

        A trial is not run then: nothing would count the starts that it does not survive. The state stays what it is.
        """
        state = self.state
        for slot in (state.committed, state.previous, None):
            if not self._work.run(State(committed=slot)):
                break
        self.report()

    def look_again(self) -> None:
        """Go on with a target that waited, if it need not wait any more.

        Raises:
            sqlite3.Error: as `take`.
        """
        if self._waiting:
            self._waiting = self._waits_for(self.state)
            if not self._waiting:
                self.resume()

    @property
    def waiting(self) -> bool:
        """A target that is staged waits for a time when it may be run."""
        return bool(self._waiting)

    def abort(self) -> None:
        """Stop what is under way; `resume` does it again."""
        self._probation.end()
        self._work.end()

    def report(self) -> None:
        """Report where the update stands, if that is news."""
        active = self._work.active
        self._report.publish(
            self.state,
            active=active.manifest.ref if active is not None else None,
            downloaded=self._work.progress,
            revision=self._tracker.revision,
            since=self.state.since,
            notices=(self._waiting, self._work.notice, self._tracker.notice, self._probation.notice),
        )

    def _transition(self, event: Event) -> tuple[Event, ...]:
        before, (after, commands) = self.state, step(self.state, event)
        if after.phase is not before.phase or _model(after) != _model(before):
            after = replace(after, since=self._now())
        if after != before:
            with self._store.transaction():
                self._store.save_update(after)
                for command in commands:
                    if isinstance(command, Remember):
                        failure = Failure(command.reason, command.revision)
                        self._store.remember_failure(command.digest, self._runtime, failure)
            self.state = after
            self.passing = isinstance(event, Refused) and event.passing
            _log.info("update: %s -> %s %s", before.phase, after.phase, after.reason)
        if any(isinstance(command, Work) for command in commands):
            self.held, self._waiting = False, ""
            self._probation.end()
            self._work.end()
        if in_shadow(before) is not None and in_shadow(after) is None:
            self._work.end_shadow()
        follow = tuple(event for command in commands for event in self._perform(command))
        self.report()
        return follow

    def _perform(self, command: Command) -> tuple[Event, ...]:
        match command:
            case Remember():
                return ()  # written with the state
            case Run():
                return self._work.run(self.state)
            case Work():
                return self._begin(command) if self.working or command is Work.ACTIVATE else ()
            case _:
                assert_never(command)

    def _begin(self, work: Work) -> tuple[Event, ...]:
        if work is Work.WATCH and self.state.trial is not None:
            self._probation.begin(self.state.trial.model)
        if work is Work.SHADOW and self.state.trial is not None:
            self._probation.begin(self.state.trial.model, shadow=True)
        self._waiting = self._waits_for(self.state) if work is Work.CONFIRM else ""
        if self._waiting:
            return ()
        metadata = self._tracker.metadata
        self.held = work in NEEDS_METADATA and metadata is None
        if self.held:
            self._tracker.want_metadata()
            return ()
        return self._work.do(work, self.state, metadata)


def _model(state: State) -> str:
    """The digest of the target's model."""
    return "" if state.target is None else state.target.model.digest
