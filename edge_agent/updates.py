"""Model updates on the device: the thread that takes everything in order and keeps the state.

It hears the links, the verifier, the self-test and the clock, asks the pure machine (`update_machine`) for the next
state, writes that, and has the work done (`update_work`). Each transition is written before its work, so a power cut
costs time and nothing else. Frames keep flowing: this thread meets the pipeline in `on_activate` alone.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, assert_never

from msgspec.structs import replace

from edge_agent.errand import Connection
from edge_agent.link import Link
from edge_agent.orders import Asked, Orders
from edge_agent.probation import Probation
from edge_agent.selftest import Verdict
from edge_agent.slots import ActiveModel
from edge_agent.state import Failure, StateStore
from edge_agent.trusted_time import TrustedClock
from edge_agent.update_events import (
    Booted,
    Event,
    Proven,
    Reconsidered,
    Refused,
    RollbackAsked,
    Stopped,
    Wanted,
)
from edge_agent.update_machine import SETTLED, Command, Phase, Remember, Run, State, Work, step, work_of
from edge_agent.update_work import UpdateSettings, UpdateWork
from edge_agent.verifier import Answer, Sealed, UnansweredError, Verifier
from edge_agent.visit import Visit
from edge_contract import topics
from edge_contract.errors import TrustError
from edge_contract.messages import Reported
from edge_contract.trust import COMMAND_TYPE, SignedCommand, read_payload

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.25  # while something is under way
_ASLEEP_S: Final = 60.0  # while nothing is
_KEEP_TIME_S: Final = 3600.0  # a board without a clock loses an hour at most
_INBOX: Final = 64  # messages, chunks of 64 KiB among them, that wait here; then the link's thread waits
_PROGRESS: Final = 0.05  # of a download, from one report to the next
_TIMESTAMP: Final = topics.trust("timestamp.json")


class _Envelope(NamedTuple):
    scope: str
    payload: bytes


class _Metadata(NamedTuple):
    topic: str
    payload: bytes


class _Verified(NamedTuple):
    answer: Answer | UnansweredError


class _Chunk(NamedTuple):
    digest: str
    number: int
    payload: bytes


class _Tested(NamedTuple):
    test: int
    verdict: Verdict


_Item = _Envelope | _Metadata | _Verified | _Chunk | _Tested | RollbackAsked


class ModelUpdates:
    """The updates of one device."""

    def __init__(
        self,
        state_dir: Path,
        settings: UpdateSettings,
        *,
        store: StateStore,
        session: int,
        open_link: Callable[[], Connection],
        on_activate: Callable[[ActiveModel], None],
        report: Callable[[Reported], None],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`store`: the open `state.db`, closed by whoever opened it; `session`: its `next_session()`.

        `open_link` makes an `Errand`, or a link with a clean session, not started. `on_activate` is called for every
        model that is to run, the first of them in `start`; what it raises refuses the model. `report` gets this
        device's reported state whenever it changed; publish it retained, and again (`reported`) on every connect.

        Raises:
            EdgewiseError: the root metadata of the installation cannot be used.
        """
        self._settings, self._store, self._session, self._report = settings, store, session, report
        self._monotonic = monotonic
        self._inbox: queue.Queue[_Item | None] = queue.Queue(_INBOX)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._clock = TrustedClock(now, monotonic, store.time())
        self._verifier = Verifier(state_dir / "trust", settings.root, settings.verify_command)
        self._orders = Orders(store, self._clock, monotonic, device=settings.device, groups=settings.groups)
        self._visit = Visit(open_link, self._heard_metadata)
        self._probation = Probation(settings.probation_frames)
        self._work = UpdateWork(
            state_dir,
            settings,
            store=store,
            visit=self._visit,
            on_activate=on_activate,
            advance=self._advance,
            chunk_came=lambda digest, number, payload: self._put(_Chunk(digest, number, payload)),
            test_ended=lambda test, verdict: self._put(_Tested(test, verdict)),
            monotonic=monotonic,
        )
        self._state = store.update() or State(committed=self._work.slots.current())
        self._events: list[Event] = []
        self._advancing = self._held = False
        self._time_kept = monotonic()
        self._reported: Reported | None = None

    def attach(self, control: Link) -> None:
        """Listen on the device's durable session; call it before that is started."""
        for scope in self._orders.scopes:
            kind, _, name = scope.partition("/")
            topic = topics.group_desired(name) if kind == "group" else topics.device(name, "desired")
            control.subscribe(topic, lambda _, payload, scope=scope: self._put(_Envelope(scope, payload)))  # type: ignore[misc]
        control.subscribe(_TIMESTAMP, self._heard_metadata)

    def start(self) -> None:
        """Run what has to run (`on_activate` is called before this returns), then go on in the background."""
        self._advance(Booted())
        self._thread = threading.Thread(target=self._loop, name="updates", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within seconds; what is under way goes on at the next start."""
        self._stopping.set()
        self._verifier.stop()
        with suppress(queue.Full):
            self._inbox.put_nowait(None)  # wakes a thread that waits for news
        if self._thread is not None:
            self._thread.join(10)
        if self._thread is None or not self._thread.is_alive():
            self._advance(Stopped())
        self._work.end()
        self._visit.close()

    def active(self) -> ActiveModel | None:
        """The model that runs; None while there is none."""
        return self._work.active

    def reported(self) -> Reported | None:
        """What `report` got last."""
        return self._reported

    def unseal_command(self, envelope: bytes) -> SignedCommand:
        """The command in an envelope, if it is signed as desired states are; takes about a second, from any thread.

        Raises:
            TrustError: it is not to be believed.
            UnansweredError: nothing is known about it; ask again.
        """
        answer = self._verifier.verify(self._clock.now(), {}, [Sealed(COMMAND_TYPE, envelope)])
        (opened,) = answer.opened
        if opened.refused:
            raise TrustError(opened.refused)
        return read_payload(opened.payload, COMMAND_TYPE, SignedCommand)

    def trusted_time(self) -> float:
        """Seconds since 1970, for expiries: never behind what was signed."""
        return self._clock.now()

    def frame_ok(self) -> None:
        """A frame went through the pipeline; cheap, from any thread."""
        self._probation.good()

    def frame_failed(self, reason: str) -> None:
        """The model failed on a frame; cheap, from any thread."""
        self._probation.bad(reason)

    def roll_back(self, reason: str) -> None:
        """Go back to the model before this one, where there is one: a signed command said so."""
        self._put(RollbackAsked(reason))

    # On the links' threads and the self-test's.

    def _heard_metadata(self, topic: str, payload: bytes) -> None:
        if payload:
            self._put(_Metadata(topic, payload if topic == _TIMESTAMP else b""))

    def _put(self, item: _Item) -> None:
        while not self._stopping.is_set():
            with suppress(queue.Full):
                self._inbox.put(item, timeout=0.2)
                return

    # On the updates' thread (in `start` before it).

    def _loop(self) -> None:
        self._begin_work(work_of(self._state))
        self._follow()
        while not self._stopping.is_set():
            with suppress(queue.Empty):
                self._take(self._inbox.get(timeout=self._patience()))
            self._tick()

    def _patience(self) -> float:
        return _TICK_S if self._state.phase not in SETTLED or self._orders.pending else _ASLEEP_S

    def _take(self, item: _Item | None) -> None:
        match item:
            case None:
                pass
            case _Envelope(scope, payload):
                self._orders.hear_envelope(scope, payload)
            case _Metadata(topic, payload):
                if topic == _TIMESTAMP:
                    self._orders.hear_timestamp(payload)
            case _Verified(answer):
                self._take_answer(answer)
            case _Chunk(digest, number, payload):
                self._guarded(lambda: self._work.take_chunk(digest, number, payload))
            case _Tested(test, verdict):
                self._work.take_verdict(test, verdict)
            case RollbackAsked():
                if self._state.previous is not None or self._settings.factory is not None:
                    self._advance(item)
            case _:
                assert_never(item)

    def _tick(self) -> None:
        now = self._monotonic()
        if self._orders.due and self._inbox.empty():  # news come in bunches: hear the bunch first
            asked = self._orders.question(lambda: self._visit.files(now))
            if asked is not None:
                threading.Thread(target=self._verify, args=(asked,), name="verify", daemon=True).start()
        self._work.tick()
        verdict = self._probation.verdict() if self._state.phase is Phase.PROBATION else None
        if verdict is not None:
            self._advance(Refused(verdict, blame=True) if verdict else Proven())
        if now - self._time_kept > _KEEP_TIME_S and (metadata := self._orders.metadata) is not None:
            self._time_kept = now
            self._store.save_time(self._clock.worth_keeping(metadata.expires))
        self._visit.close_when_idle(now, busy=self._work.downloading)
        self._say()

    def _verify(self, asked: Asked) -> None:
        """On a thread of its own: frames, chunks and the rest of an update go on meanwhile."""
        try:
            self._put(_Verified(self._verifier.verify(self._clock.now(), asked.files, asked.sealed)))
        except UnansweredError as error:
            self._put(_Verified(error))

    def _take_answer(self, answer: Answer | UnansweredError) -> None:
        if isinstance(answer, UnansweredError):
            self._orders.unanswered(str(answer))
            return
        if self._orders.take(answer) and not self._failed_before():
            self._advance(Reconsidered())
        if answer.metadata is None:
            self._visit.ask_again()
            return
        self._follow()
        if self._held:
            self._begin_work(work_of(self._state))

    def _failed_before(self) -> bool:
        target = self._state.target
        return target is not None and self._store.failure(target.model.digest, self._settings.runtime) is not None

    def _follow(self) -> None:
        """Want what is in force, if that is new."""
        target = self._orders.in_force()
        if target is not None and target != self._state.target:
            self._advance(Wanted(target))

    def _advance(self, event: Event) -> None:
        """Take an event, then those that its work leads to, one after the other."""
        self._events.append(event)
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._events:
                self._transition(self._events.pop(0))
        finally:
            self._advancing = False

    def _transition(self, event: Event) -> None:
        before, (after, commands) = self._state, step(self._state, event)
        if after != before:
            with self._store.transaction():
                self._store.save_update(after)
                for command in commands:
                    if isinstance(command, Remember):
                        failure = Failure(command.reason, command.revision)
                        self._store.remember_failure(command.digest, self._settings.runtime, failure)
            self._state = after
            _log.info("update: %s -> %s %s", before.phase, after.phase, after.reason)
        if any(isinstance(command, Work) for command in commands):
            self._held = False
            self._probation.end()
            self._work.end()
        for command in commands:
            self._perform(command)
        self._say()

    def _perform(self, command: Command) -> None:
        match command:
            case Remember():
                pass  # written with the state
            case Run():
                self._work.run(self._state)
            case Work():
                # Before the thread is there, only what the pipeline waits for is done; the thread begins with the rest.
                if self._thread is not None or command is Work.ACTIVATE:
                    self._begin_work(command)
            case _:
                assert_never(command)

    def _begin_work(self, work: Work) -> None:
        if work is Work.WATCH:
            self._probation.begin()
        self._guarded(lambda: self._do(work))

    def _do(self, work: Work) -> None:
        self._held = not self._work.do(work, self._state, self._orders.metadata)
        if self._held:
            self._orders.want_metadata()

    def _guarded(self, work: Callable[[], None]) -> None:
        """A disk that is full or broken refuses the target; what runs is in memory and runs on."""
        try:
            work()
        except OSError as error:
            _log.exception("the disk refused")
            self._advance(Refused(f"the disk refused ({error.strerror or error}).", blame=False))

    def _say(self) -> None:
        """Report when something changed that is worth a message."""
        state, said = self._state, self._reported
        target = state.target
        progress = {Phase.OFFERED: 0.0, Phase.DOWNLOADING: self._work.progress}.get(state.phase, 1.0)
        if said is not None and said.state == state.phase and progress < min(said.progress + _PROGRESS, 1.0):
            progress = said.progress  # too little to say
        reported = Reported(
            device=self._settings.device,
            session=self._session,
            active=self._work.active.manifest.ref if self._work.active is not None else None,
            state=state.phase.value,
            target=target.model if target is not None else None,
            revision=self._orders.revision,
            progress=progress if target is not None else 0.0,
            reason=(state.reason or self._work.notice or self._orders.notice)[:1024],
            time=said.time if said is not None else self._clock.now(),
        )
        if reported != said:
            self._reported = replace(reported, time=self._clock.now())
            self._report(self._reported)
