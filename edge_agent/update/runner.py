"""Takes the events of an update in order: asks `update_machine` for the next state, writes it, has the work done.

Each transition is one transaction, written before its work, so a power cut costs time and nothing else. A disk that
refuses a file refuses the target; one that refuses the state itself changes nothing, and the work is done again later.
"""

import logging
import sqlite3
from collections.abc import Callable
from typing import assert_never

from edge_agent.trust.listed import TrustedMetadata
from edge_agent.update.events import Event, Refused
from edge_agent.update.machine import Command, Remember, Run, State, Work, step, work_of
from edge_agent.update.probation import Probation
from edge_agent.update.store import Failure, StateStore
from edge_agent.update.work import UpdateWork

_log = logging.getLogger(__name__)


class Transitions:
    """The state of one device's update, and what leads from one to the next; used by one thread at a time."""

    def __init__(
        self,
        store: StateStore,
        work: UpdateWork,
        probation: Probation,
        *,
        runtime: str,
        metadata: Callable[[], TrustedMetadata | None],
        want_metadata: Callable[[], None],
        said: Callable[[], None],
    ) -> None:
        """`runtime`: a failure is remembered for it; `metadata`: what holds now; `said` is called after each change.

        `want_metadata` is called when work waits for metadata that hold.
        """
        self._store, self._work, self._probation, self._runtime = store, work, probation, runtime
        self._metadata, self._want_metadata, self._said = metadata, want_metadata, said
        self.state = store.update() or State(committed=work.slots.current())
        self.held = False
        """The work of this state waits for metadata that holds."""
        self.working = False
        """Work is done as it comes up; before, in the start, only what the pipeline waits for."""
        self._events: list[Event] = []
        self._advancing = False

    def advance(self, event: Event) -> None:
        """Take an event, then those that its work leads to, one after the other.

        Raises:
            sqlite3.Error: the state cannot be written; it is what it was.
        """
        self._events.append(event)
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._events:
                self._transition(self._events.pop(0))
        finally:
            self._advancing = False
            self._events.clear()

    def resume(self) -> None:
        """Do the work of this state, once more or for the first time."""
        self.begin(work_of(self.state))

    def begin(self, work: Work) -> None:
        """Begin work; a disk that is full or broken refuses the target, and what runs is in memory and runs on."""
        if work is Work.WATCH:
            self._probation.begin()
        self.guarded(lambda: self._do(work))

    def guarded(self, work: Callable[[], None]) -> None:
        """Do something that may meet a bad disk."""
        try:
            work()
        except OSError as error:
            _log.exception("the disk refused")
            self.advance(Refused(f"the disk refused ({error.strerror or error}).", blame=False))

    def survived(self, error: sqlite3.Error) -> None:
        """The state could not be written: stop what is under way; `resume` does it again."""
        _log.error("the state of the update cannot be written (%s): nothing changed; check the disk", error)
        self._probation.end()
        self._work.end()

    def _transition(self, event: Event) -> None:
        before, (after, commands) = self.state, step(self.state, event)
        if after != before:
            with self._store.transaction():
                self._store.save_update(after)
                for command in commands:
                    if isinstance(command, Remember):
                        failure = Failure(command.reason, command.revision)
                        self._store.remember_failure(command.digest, self._runtime, failure)
            self.state = after
            _log.info("update: %s -> %s %s", before.phase, after.phase, after.reason)
        if any(isinstance(command, Work) for command in commands):
            self.held = False
            self._probation.end()
            self._work.end()
        for command in commands:
            self._perform(command)
        self._said()

    def _perform(self, command: Command) -> None:
        match command:
            case Remember():
                pass  # written with the state
            case Run():
                self._work.run(self.state)
            case Work():
                if self.working or command is Work.ACTIVATE:
                    self.begin(command)
            case _:
                assert_never(command)

    def _do(self, work: Work) -> None:
        self.held = not self._work.do(work, self.state, self._metadata())
        if self.held:
            self._want_metadata()
