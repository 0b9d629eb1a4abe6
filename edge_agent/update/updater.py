"""Model updates on the device: the thread that takes everything in order and keeps the state.

It hears the links, the verifier, the self-test and the clock, and makes events of that (`transitions` does the rest).
Frames keep flowing: this thread meets the pipeline in `on_activate` alone.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, assert_never

from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt.link import Link
from edge_agent.trust.clock import TrustedClock
from edge_agent.trust.errand import Connection
from edge_agent.trust.subscription import Visit
from edge_agent.trust.verifier import Answer, Sealed, UnansweredError, Verifier
from edge_agent.update.desired_tracker import Asked, Orders
from edge_agent.update.events import (
    Booted,
    Event,
    Proven,
    Reconsidered,
    Refused,
    RollbackAsked,
    Stopped,
    Wanted,
)
from edge_agent.update.inbox import Chunk, Envelope, Inbox, Item, Stirred, Tested, Timestamp, Verified
from edge_agent.update.machine import SETTLED, Phase
from edge_agent.update.probation import Probation
from edge_agent.update.report import UpdateReport
from edge_agent.update.runner import Transitions
from edge_agent.update.store import StateStore
from edge_agent.update.work import UpdateSettings, UpdateWork
from edge_contract import topics
from edge_contract.messages import Reported
from edge_contract.scope import Scope
from edge_contract.trust import COMMAND_TYPE, SignedCommand

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.25  # while something is under way
_ASLEEP_S: Final = 60.0  # while nothing is
_KEEP_TIME_S: Final = 3600.0  # a board without a clock loses an hour at most
_DISK_S: Final = 5.0  # after a disk refused the state, until it is tried again
_TIMESTAMP: Final = topics.trust("timestamp.json")


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
        self._settings, self._store, self._monotonic = settings, store, monotonic
        self._inbox = Inbox()
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
            chunk_came=lambda digest, number, payload: self._inbox.put(Chunk(digest, number, payload)),
            test_ended=lambda test, verdict: self._inbox.put(Tested(test, verdict)),
            monotonic=monotonic,
        )
        self._transitions = Transitions(
            store,
            self._work,
            self._probation,
            runtime=settings.runtime,
            metadata=lambda: self._orders.metadata,
            want_metadata=self._orders.want_metadata,
            said=self._say,
        )
        self._report = UpdateReport(settings.device, session, report, self._clock.now)
        self._time_kept = monotonic()

    def attach(self, control: Link) -> None:
        """Listen on the device's durable session; call it before that is started."""
        for scope in self._orders.scopes:
            topic = Scope.parse(scope).topic
            control.subscribe(topic, lambda _, payload, scope=scope: self._inbox.put(Envelope(scope, payload)))  # type: ignore[misc]
        control.subscribe(_TIMESTAMP, self._heard_metadata)

    def start(self) -> None:
        """Run what has to run (`on_activate` is called before this returns), then go on in the background."""
        self._advance(Booted())
        self._transitions.working = True
        self._thread = threading.Thread(target=self._loop, name="updates", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within seconds; what is under way goes on at the next start."""
        self._inbox.close()
        self._verifier.stop()
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
        return self._report.last

    def unseal_command(self, envelope: bytes) -> SignedCommand:
        """The command in an envelope, if it is signed as desired states are; takes about a second, from any thread.

        Raises:
            TrustError: it is not to be believed.
            UnansweredError: nothing is known about it; ask again.
        """
        return self._verifier.unseal(self._clock.now(), Sealed(COMMAND_TYPE, envelope), SignedCommand)

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
        self._inbox.put(RollbackAsked(reason))

    def _heard_metadata(self, topic: str, payload: bytes) -> None:
        """On the link's thread."""
        self._inbox.put(Timestamp(payload) if topic == _TIMESTAMP and payload else Stirred())

    # On the updates' thread (in `start` before it).

    def _loop(self) -> None:
        begun = False
        while not self._inbox.closed.is_set():
            try:
                if not begun:
                    begun = True
                    self._transitions.resume()
                    self._follow()
                self._take(self._inbox.get(self._patience()))
                self._tick()
            except sqlite3.Error as error:  # a full disk, or another program's lock: the thread outlives it
                self._transitions.survived(error)
                self._orders.unanswered(f"the disk refused ({error}).")
                self._inbox.closed.wait(_DISK_S)
                begun = False

    def _patience(self) -> float:
        return _TICK_S if self._transitions.state.phase not in SETTLED or self._orders.pending else _ASLEEP_S

    def _take(self, item: Item | None) -> None:
        match item:
            case None | Stirred():
                pass
            case Envelope(scope, payload):
                self._orders.hear_envelope(scope, payload)
            case Timestamp(payload):
                self._orders.hear_timestamp(payload)
            case Verified(answer):
                self._take_answer(answer)
            case Chunk(digest, number, payload):
                self._transitions.guarded(lambda: self._work.take_chunk(digest, number, payload))
            case Tested(test, verdict):
                self._work.take_verdict(test, verdict)
            case RollbackAsked():
                if self._transitions.state.previous is not None or self._settings.factory is not None:
                    self._advance(item)
            case _:
                assert_never(item)

    def _tick(self) -> None:
        now = self._monotonic()
        if self._orders.due and self._inbox.empty:  # news come in bunches: hear the bunch first
            asked = self._orders.question(lambda: self._visit.files(now))
            if asked is not None:
                threading.Thread(target=self._verify, args=(asked,), name="verify", daemon=True).start()
        self._work.tick()
        verdict = self._probation.verdict() if self._transitions.state.phase is Phase.PROBATION else None
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
            self._inbox.put(Verified(self._verifier.verify(self._clock.now(), asked.files, asked.sealed)))
        except UnansweredError as error:
            self._inbox.put(Verified(error))

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
        if self._transitions.held:
            self._transitions.resume()

    def _failed_before(self) -> bool:
        target = self._transitions.state.target
        return target is not None and self._store.failure(target.model.digest, self._settings.runtime) is not None

    def _follow(self) -> None:
        """Want what is in force, if that is new."""
        target = self._orders.in_force()
        if target is not None and target != self._transitions.state.target:
            self._advance(Wanted(target))

    def _advance(self, event: Event) -> None:
        self._transitions.advance(event)

    def _say(self) -> None:
        active = self._work.active
        self._report.say(
            self._transitions.state,
            active=active.manifest.ref if active is not None else None,
            downloaded=self._work.progress,
            revision=self._orders.revision,
            notices=(self._work.notice, self._orders.notice),
        )
