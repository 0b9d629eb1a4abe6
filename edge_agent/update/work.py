"""The work that each phase of an update consists of: disk, subscriptions, child process, pipeline.

Every work ends in an event, at once (returned) or later (through the inbox); none changes the state by itself, and each
can be done again after it was cut short. A disk that refuses is an event too. Called on the updates' thread alone.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, assert_never

from edge_agent.inference.comparable import incomparable
from edge_agent.models.chunks import PartFile
from edge_agent.models.download import Fetch, read_release
from edge_agent.models.selftest import SelfTest, Verdict
from edge_agent.models.slots import ActiveModel, Slot, Slots
from edge_agent.trust.listed import TrustedMetadata
from edge_agent.trust.subscription import Subscription
from edge_agent.update import admission
from edge_agent.update.events import (
    Activated,
    Damaged,
    Event,
    Fetched,
    Refused,
    SelfTestPassed,
    Spoiled,
    Staged,
    Target,
)
from edge_agent.update.factory import require_tested
from edge_agent.update.inbox import Chunk, Inbox, Tested
from edge_agent.update.installation import UpdateSettings
from edge_agent.update.machine import Phase, State, Work, running
from edge_agent.update.store import StateStore
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.messages import ModelRef
from edge_contract.trust import ListedRelease
from edge_contract.wave import ShadowTerms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model to run in shadow."""

    model: ActiveModel
    terms: ShadowTerms


NEEDS_METADATA: Final = frozenset({Work.ADMIT, Work.FETCH, Work.STAGE, Work.CONFIRM})
"""Work that is done only while verified metadata hold."""


class RunningTest(Protocol):
    """A self-test under way."""

    def cancel(self) -> None:
        """End it; its verdict does not come any more."""


StartTest = Callable[[Path, Callable[[Verdict], None]], RunningTest]
"""Tests the model in a slot's directory, and brings the verdict later, from any thread. Raises OSError."""


class UpdateWork:
    """Works on one state directory."""

    def __init__(
        self,
        state_dir: Path,
        settings: UpdateSettings,
        *,
        store: StateStore,
        subscription: Subscription,
        inbox: Inbox,
        on_activate: Callable[[ActiveModel], None],
        on_shadow: Callable[[Challenger | None], None],
        monotonic: Callable[[], float],
        start_test: StartTest | None = None,
    ) -> None:
        """`inbox`: where the verdict of a self-test goes.

        `on_activate` is called for every model that is to run, `on_shadow` for every one that is to run beside it, and
        with None when none is any more. `start_test`: another self-test than the settings' command.
        """
        self._settings, self._store, self._subscription, self._inbox = settings, store, subscription, inbox
        self._on_activate, self._on_shadow, self._monotonic = on_activate, on_shadow, monotonic
        self.slots = Slots(state_dir, settings.factory)
        self._parts = state_dir / "parts"
        self.active: ActiveModel | None = None
        """The model that the pipeline has."""
        self._beside: tuple[Slot, ShadowTerms] | None = None  # what it has in shadow
        self._fetch: Fetch | None = None
        self._start_test = start_test or partial(SelfTest, command=settings.selftest_command)
        self._selftest: RunningTest | None = None
        self._tests = 0
        self.notice = ""
        """What is in the way just now; empty when nothing is."""

    @property
    def progress(self) -> float:
        """Share of the chunks held of the download under way."""
        return self._fetch.progress if self._fetch is not None else 0.0

    def do(self, work: Work, state: State, metadata: TrustedMetadata | None) -> tuple[Event, ...]:
        """Begin the work of a phase and return what it led to at once. `metadata`: see `NEEDS_METADATA`."""
        try:
            return self._do(work, state, metadata)
        except OSError as error:
            return (_disk_refused(error),)

    def run(self, state: State) -> tuple[Event, ...]:
        """Give the pipeline what has to run; what cannot be loaded is an event."""
        slot = running(state)
        try:
            model = self.slots.load(slot) if slot is not None else self.slots.load_factory()
            if model is not None and slot is None:
                require_tested(model, self._store, self._settings.runtime)
            if model is not None:
                self._hand_over(model)
        except EdgewiseError as error:
            if state.phase is Phase.PROBATION:
                return (_spoiled(error) if isinstance(error, TrustError) else Refused(str(error), blame=True),)
            if slot is not None:
                return (Damaged(str(error)),)
            self.notice = f"the factory model cannot be run: {error}"
            _log.error("%s", self.notice)
        return ()

    def take_chunk(self, chunk: Chunk) -> tuple[Event, ...]:
        """A chunk arrived."""
        if self._fetch is None:
            return ()
        try:
            taken = self._fetch.arrived(chunk.digest, chunk.number, chunk.payload, self._monotonic())
        except TrustError as error:
            return (Refused(str(error), blame=False),)
        except OSError as error:
            return (_disk_refused(error),)
        if taken is not None:
            self.notice = (
                "" if taken else f"chunk {chunk.number} arrived without its digest: refused and asked for again."
            )
        return (Fetched(),) if self._fetch.complete else ()

    def take_verdict(self, tested: Tested) -> tuple[Event, ...]:
        """A self-test ended; one that was superseded says nothing."""
        if tested.test != self._tests or self._selftest is None:
            return ()
        verdict = tested.verdict
        _log.info("self-test: %s", verdict)
        if verdict.passed:
            return (SelfTestPassed(),)
        return (Spoiled(),) if verdict.spoiled else (Refused(verdict.reason, blame=verdict.blame),)

    def tick(self) -> None:
        """Time passed."""
        if self._fetch is not None:
            self._fetch.tick(self._monotonic())

    def end(self) -> None:
        """The phase is over: stop what it had under way. What a download brought stays on the disk."""
        self.notice = ""
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            try:
                fetch.close()
            except OSError as error:  # what came is held against its digests when it is opened again
                _log.warning("what was downloaded cannot be brought to the disk (%s)", error)
        if self._selftest is not None:
            self._selftest.cancel()
            self._selftest = None

    def end_shadow(self) -> None:
        """Nothing runs in shadow any more."""
        if self._beside is not None:
            self._beside = None
            self._on_shadow(None)

    def _do(self, work: Work, state: State, metadata: TrustedMetadata | None) -> tuple[Event, ...]:
        match work:
            case Work.ACTIVATE:
                return (self._activate(state),)
            case Work.TIDY:
                self._tidy(state)
                return ()
            case Work.SELFTEST:
                return self._begin_selftest(state)
            case Work.WATCH:
                return ()  # the model's answers bring the evidence
            case Work.SHADOW:
                return self._shadow(state, metadata)
            case Work.ADMIT | Work.FETCH | Work.STAGE | Work.CONFIRM:
                if metadata is None or state.target is None:
                    return (Refused("what the update is about is not known: refused.", blame=False),)
                return self._do_with(work, state.target, metadata)
            case _:
                assert_never(work)

    def _do_with(self, work: Work, target: Target, metadata: TrustedMetadata) -> tuple[Event, ...]:
        if work is Work.ADMIT:
            running = self.active.manifest.ref if self.active is not None else None
            failure = self._store.failure(target.model.digest, self._settings.runtime)
            free = shutil.disk_usage(self._parts.parent).free
            return (admission.admit(target, metadata, running=running, failure=failure, free=free),)
        if work is Work.CONFIRM:
            return (admission.confirm(target, metadata),)
        try:
            listed = metadata.release(target.model)
            if work is Work.FETCH:
                return self._begin_fetch(target.model, listed)
            return (self._stage(target.model, listed),)
        except TrustError as error:
            return (Refused(str(error), blame=False),)

    def _begin_fetch(self, model: ModelRef, listed: ListedRelease) -> tuple[Event, ...]:
        self._clear_parts(keep={listed.model, listed.file.digest})
        device, now = self._settings.device, self._monotonic()
        self._fetch = Fetch(self._parts, model, listed, device=device, broker=self._subscription, now=now)
        return (Fetched(),) if self._fetch.complete else ()

    def _stage(self, model: ModelRef, listed: ListedRelease) -> Staged | Spoiled:
        release = read_release(self._parts, model, listed)
        if release is None:
            return Spoiled()
        part = PartFile(self._parts, release.blob)
        missing = part.missing
        part.close(synced=True)
        return Spoiled() if missing else Staged(self.slots.stage(part.path, release.manifest))

    def _begin_selftest(self, state: State) -> tuple[Event, ...]:
        if state.trial is None:
            return (Spoiled(),)
        self._tests += 1
        ended = partial(self._selftest_ended, self._tests)
        self._selftest = self._start_test(self.slots.path(state.trial), ended)
        return ()

    def _selftest_ended(self, test: int, verdict: Verdict) -> None:
        """On the self-test's thread."""
        self._inbox.put(Tested(test, verdict))

    def _activate(self, state: State) -> Activated | Spoiled | Refused:
        if state.trial is None:
            return Spoiled()
        try:
            model = self.slots.load(state.trial)
            self.slots.point(state.trial, state.committed)
            self._hand_over(model)
        except TrustError as error:
            return _spoiled(error)
        except EdgewiseError as error:
            return Refused(str(error), blame=True)
        return Activated()

    def _shadow(self, state: State, metadata: TrustedMetadata | None) -> tuple[Event, ...]:
        """Judged again with each new list; without one that holds it goes on, as does what answers."""
        if state.trial is None or state.target is None:
            return (Spoiled(),)
        if metadata is not None and isinstance(judged := admission.confirm(state.target, metadata), Refused):
            return (judged,)
        terms = state.target.shadow or ShadowTerms()
        try:
            model = self.slots.load(state.trial)
            if self._beside != (state.trial, terms):
                self._give(partial(self._on_shadow, Challenger(model, terms)))
                self._beside = state.trial, terms
        except TrustError as error:
            return (_spoiled(error),)
        except EdgewiseError as error:
            return (Refused(str(error), blame=True),)
        if self.active is not None and (why := incomparable(self.active.manifest, model.manifest)):
            self.notice = f"in shadow, and nothing can be compared: {why}."
        return ()

    def _hand_over(self, model: ActiveModel) -> None:
        """Give it to the pipeline, which refuses the model by raising."""
        self._give(partial(self._on_activate, model))
        self.active = model

    def _give(self, hand_over: Callable[[], None]) -> None:
        """Whatever the pipeline raises at a model is an `EdgewiseError`."""
        try:
            hand_over()
        except EdgewiseError:
            raise
        except Exception as error:  # whatever it raises, this thread goes on
            _log.exception("the pipeline did not take the model")
            raise EdgewiseError(f"the pipeline did not take the model ({type(error).__name__}: {error}).") from error

    def _tidy(self, state: State) -> None:
        self.slots.point(state.committed, state.previous)
        self.slots.prune((state.committed, state.previous))
        self._clear_parts(keep=set())

    def _clear_parts(self, keep: set[str]) -> None:
        for part in self._parts.glob("*"):
            if part.stem in keep:
                continue
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink()


def _spoiled(error: TrustError) -> Spoiled:
    _log.warning("the model on trial was damaged on this disk and is fetched again: %s", error)
    return Spoiled()


def _disk_refused(error: OSError) -> Refused:
    """What runs is in memory and runs on."""
    _log.error("the disk refused", exc_info=error)
    return Refused(f"the disk refused ({error.strerror or error}).", blame=False, passing=True)
