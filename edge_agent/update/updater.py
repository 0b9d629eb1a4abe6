"""Model updates on the device: takes everything in order, on a thread of its own (its `Worker`), and keeps the state.

What the link, the verifier, the self-test, the commands and the clock bring becomes an event here (`runner` does the
rest). Frames keep flowing: this thread meets the pipeline in `on_activate` alone.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt.link import Link
from edge_agent.trust.clock import SignedTime, TrustedClock
from edge_agent.trust.subscription import Subscription
from edge_agent.trust.verifier import Answer, Sealed, UnansweredError, Verifier
from edge_agent.turns import MakeWorker, Next, Pause, ThreadWorker, Turns
from edge_agent.update.desired_tracker import Asked, DesiredTracker
from edge_agent.update.events import Booted, Proven, Reconsidered, Refused, Retried, RollbackAsked, Stopped, Wanted
from edge_agent.update.inbox import (
    LONGEST,
    Chunk,
    Envelope,
    Inbox,
    Item,
    MetadataArrived,
    Tested,
    Timestamp,
    Verified,
)
from edge_agent.update.installation import UpdateSettings
from edge_agent.update.machine import ON_TRIAL, SETTLED, Phase
from edge_agent.update.patience import Patience
from edge_agent.update.probation import Probation
from edge_agent.update.report import UpdateReport
from edge_agent.update.runner import UpdateRunner
from edge_agent.update.store import StateStore
from edge_agent.update.work import Challenger, StartTest, UpdateWork
from edge_contract import topics
from edge_contract.messages import ModelRef, Reported
from edge_contract.scope import Scope
from edge_contract.topics import BlobTopic, DeviceTopic, GroupTopic, TrustTopic
from edge_contract.trust import COMMAND_TYPE, SignedCommand

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.25  # while something is under way
_CALM_S: Final = 2.0  # in shadow, or while a target waits for its hour: for days
_ASLEEP_S: Final = 60.0  # while nothing is
_KEEP_TIME_S: Final = 3600.0  # a board without a clock loses an hour at most
_DISK_S: Final = 5.0  # after a disk refused the state, until it is tried again
_RETRY_S: Final = 600.0  # after a disk refused a target, until it is tried again
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
        link: Link,
        on_activate: Callable[[ActiveModel], None],
        on_shadow: Callable[[Challenger | None], None],
        report: Callable[[Reported], None],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        verifier: Verifier | None = None,
        start_test: StartTest | None = None,
        worker: MakeWorker = ThreadWorker,
    ) -> None:
        """`store`: the open `state.db`, closed by its owner; `session`: its `next_session()`.

        `link`: the device's durable session, not started yet. `on_activate` is called for every model that is to run,
        the first of them in `start`, `on_shadow` for those that are to run beside it, and with None when none is any
        more; what they raise refuses the model. `report` gets this device's reported state whenever it changed;
        publish it retained, and again (`reported`) on every connect. `verifier`, `start_test`, `worker`: others than
        those of the settings' commands and a thread, for the rehearsal of a fleet in one process.

        Raises:
            EdgewiseError: the root metadata of the installation cannot be used.
        """
        self._settings, self._store, self._monotonic = settings, store, monotonic
        self._inbox: Inbox = worker("updates", LONGEST)
        self._failing, self._started = "", False
        self._verifier = verifier or Verifier(state_dir / "trust", settings.root, settings.verify_command)
        first, kept = self._verifier.first_keys, store.time()
        self._clock = TrustedClock(now, monotonic, SignedTime(kept.seconds, kept.signers or first))
        self._tracker = DesiredTracker(
            store, self._clock, monotonic, device=settings.device, groups=settings.groups, first_keys=first
        )
        self._subscription = Subscription(link, self._receive)
        self._probation = Probation(settings.probation_answers)
        self._work = UpdateWork(
            state_dir,
            settings,
            store=store,
            subscription=self._subscription,
            inbox=self._inbox,
            on_activate=on_activate,
            on_shadow=on_shadow,
            monotonic=monotonic,
            start_test=start_test,
        )
        self._report = UpdateReport(settings.device, session, report, self._clock.now)
        patience = Patience(state_dir, settings.window)
        self._runner = UpdateRunner(
            store,
            self._work,
            self._probation,
            self._tracker,
            self._report,
            runtime=settings.runtime,
            now=self._clock.now,
            waits_for=lambda state: patience.waits_for(state, self._clock.now()),
        )
        self._time_kept = self._ticked = monotonic()
        self._retry_at: float | None = None
        self._booted = False
        for scope in self._tracker.scopes:
            link.subscribe(Scope.parse(scope).topic, self._receive)
        link.subscribe(_TIMESTAMP, self._receive)

    def start(self) -> None:
        """Run what has to run (`on_activate` is called before this returns), then go on in the background."""
        try:
            self._boot()
        except sqlite3.Error as error:
            _log.error("the start cannot be written (%s): what proved itself runs; check the disk", error)
            self._failing = f"updates do not go on: the disk refused ({error})."
            self._runner.run_proven()
        self._inbox.start(self._turns)
        self._started = True

    def stop(self, *, cleanly: bool = True) -> None:
        """End within seconds; what is under way goes on at the next start.

        `cleanly` False: nothing is written any more, as when the power goes, which a rehearsal needs.
        """
        self._inbox.close()
        self._verifier.stop()
        self._inbox.join(10)
        if cleanly and not self._inbox.alive:
            try:
                self._runner.take(Stopped())
            except sqlite3.Error as error:  # the next start counts as one after a crash
                _log.error("the stop cannot be written (%s); check the disk", error)
        self._work.end()
        self._subscription.close()

    @property
    def trouble(self) -> str:
        """Why updates do not work any more; empty while they do."""
        ended = self._started and not self._inbox.alive and not self._inbox.closed
        return "the thread of the updates ended: restart the agent." if ended else self._failing

    def active(self) -> ActiveModel | None:
        """The model that runs; None while there is none."""
        return self._work.active

    @property
    def trust_expires(self) -> float | None:
        """When the first of the signed lists held ends, or ended, seconds since 1970; None before any held."""
        return self._tracker.metadata_end

    def reported(self) -> Reported | None:
        """What `report` got last."""
        return self._report.last

    def unseal_command(self, envelope: bytes) -> SignedCommand:
        """The command in an envelope, if it is signed as desired states are; takes about a second, from any thread.

        Raises:
            TrustError: its signature does not hold.
            UnansweredError: nothing is known about it; ask again.
        """
        return self._verifier.unseal(self._clock, Sealed(COMMAND_TYPE, envelope), SignedCommand)

    def trusted_time(self) -> float:
        """Seconds since 1970, for expiries: never behind what was signed."""
        return self._clock.now()

    def answered(self, model: ModelRef) -> None:
        """The model answered one face; cheap, from any thread."""
        self._probation.answered(model)

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """The model gave no answer to one face; cheap, from any thread."""
        self._probation.failed(model, reason)

    def roll_back(self, reason: str) -> None:
        """Go back to the model before this one, where there is one: a signed command asked for it."""
        self._inbox.put(RollbackAsked(reason))

    def _receive(self, topic: str, payload: bytes) -> None:
        """A message of any of the device's subscriptions; on the link's thread."""
        match topics.parse(topic):
            case BlobTopic(digest, number):
                self._inbox.put(Chunk(digest, number, payload))
            case TrustTopic():
                self._inbox.put(Timestamp(payload) if topic == _TIMESTAMP and payload else MetadataArrived())
            case GroupTopic(group):
                self._inbox.put(Envelope(str(Scope("group", group)), payload))
            case DeviceTopic(device, "desired"):
                self._inbox.put(Envelope(str(Scope("device", device)), payload))

    # On the updates' thread (in `start` before it).

    def _boot(self) -> None:
        self._runner.working = False
        self._runner.take(Booted())
        self._runner.working = self._booted = True

    def _turns(self) -> Turns:
        begun = False
        while not self._inbox.closed:
            try:
                if not begun:
                    if not self._booted:
                        self._boot()
                    begun = True
                    self._runner.resume()
                    self._follow_desired()
                self._take(item := (yield Next(self._patience())))
                if not isinstance(item, Chunk) or self._monotonic() - self._ticked >= _TICK_S:
                    self._tick()  # not after every chunk: they come by the dozen
                self._failing = ""
            except sqlite3.Error as error:  # a full disk, or another program's lock: the thread outlives it
                _log.error("the state of the update cannot be written (%s): nothing changed; check the disk", error)
                self._hold(f"the disk refused ({error}).")
                begun = False
            except Exception as error:  # noqa: BLE001  # no thread, no memory, no process: all of that passes
                _log.exception("an update step failed: nothing changed; trying again")
                self._hold(f"an update step failed ({error}).")
                begun = False
            if not begun:
                yield Pause(_DISK_S)

    def _hold(self, reason: str) -> None:
        """Stop what is under way, to begin with it again after a while."""
        self._failing = f"updates do not go on: {reason}"
        try:
            self._runner.abort()
        except Exception:  # noqa: BLE001  # here nothing would catch it, and the thread would end
            _log.exception("what was under way did not end as it should: it is begun anew")
        self._tracker.unanswered(reason)

    def _patience(self) -> float:
        if self._tracker.pending:
            return _TICK_S
        if self._runner.passing:
            return min(_ASLEEP_S, _RETRY_S)
        phase = self._runner.state.phase
        calm = phase is Phase.SHADOWING or self._runner.waiting
        return _ASLEEP_S if phase in SETTLED else _CALM_S if calm else _TICK_S

    def _take(self, item: Item | None) -> None:
        match item:
            case None | MetadataArrived():
                pass
            case Envelope(scope, payload):
                self._tracker.receive_envelope(scope, payload)
            case Timestamp(payload):
                self._tracker.receive_timestamp(payload)
            case Verified(answer):
                self._take_answer(answer)
            case Chunk():
                self._runner.take(*self._work.take_chunk(item))
            case Tested():
                self._runner.take(*self._work.take_verdict(item))
            case RollbackAsked():
                if self._runner.state.previous is not None or self._settings.factory is not None:
                    self._runner.take(item)
            case _:
                assert_never(item)

    def _tick(self) -> None:
        now = self._ticked = self._monotonic()
        self._tracker.look_at_clock()
        if self._tracker.due and self._inbox.empty:  # messages come in bunches: take the bunch first
            asked = self._tracker.question(self._subscription)
            if asked is not None:
                self._inbox.aside(partial(self._verify, asked))
        self._work.tick()
        self._take_verdict()
        self._retry(now)
        self._runner.look_again()
        self._follow_desired()  # what is wanted in shadow hangs on what is committed by now
        if now - self._time_kept > _KEEP_TIME_S:
            self._time_kept = now
            with self._store.transaction():
                self._store.save_time(self._clock.signed())
        self._subscription.close_when_idle(now)
        self._runner.report()

    def _retry(self, now: float) -> None:
        """Try a target again that this device's disk was in the way of."""
        if not self._runner.passing:
            self._retry_at = None
        elif self._retry_at is None:
            self._retry_at = now + _RETRY_S
        elif now >= self._retry_at:
            self._retry_at = None
            self._runner.take(Retried())

    def _take_verdict(self) -> None:
        state = self._runner.state
        verdict = self._probation.verdict() if state.phase in {Phase.PROBATION, Phase.SHADOWING} else None
        if verdict:
            self._runner.take(Refused(verdict, blame=True))
        elif verdict is not None and (state.phase is Phase.PROBATION or state.boots > 0):
            self._runner.take(Proven())

    def _verify(self, asked: Asked) -> None:
        """On a thread of its own: frames, chunks and the rest of an update go on meanwhile."""
        try:
            self._inbox.put(Verified(self._verifier.verify(self._clock, asked.files, asked.sealed)))
        except UnansweredError as error:
            self._inbox.put(Verified(error))
        except Exception as error:  # noqa: BLE001  # without an answer nothing would be asked again
            self._inbox.put(Verified(UnansweredError(f"the signatures could not be checked ({error}).")))

    def _take_answer(self, answer: Answer | UnansweredError) -> None:
        if isinstance(answer, UnansweredError):
            self._tracker.unanswered(str(answer))
            return
        if self._tracker.take(answer) and not self._failed_before():
            self._runner.take(Reconsidered())
        if answer.metadata is None:
            self._subscription.renew_metadata()
            return
        self._follow_desired()
        if self._runner.held:
            self._runner.resume()

    def _failed_before(self) -> bool:
        target = self._runner.state.target
        return target is not None and self._store.failure(target.model.digest, self._settings.runtime) is not None

    def _follow_desired(self) -> None:
        """Want what is in force, if that is new."""
        target = self._tracker.in_force(self._proven())
        if target is not None and target != self._runner.state.target:
            self._runner.take(Wanted(target))

    def _proven(self) -> ModelRef | None:
        """The model that answers when none is on trial; None where it is not known to be whole."""
        state, active = self._runner.state, self._work.active
        if state.phase in ON_TRIAL:
            return None if state.committed is None else state.committed.model
        return None if active is None else active.manifest.ref
