"""The work that each phase of an update consists of: disk, second connection, child process, pipeline.

Every work ends in an event for `advance`; none changes the state by itself, and each can be done again after it was
cut short. Called on the updates' thread alone.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from edge_agent.models.chunks import PartFile
from edge_agent.models.download import Fetch, read_release
from edge_agent.models.selftest import COMMAND, SelfTest, Verdict
from edge_agent.models.slots import ActiveModel, Slots
from edge_agent.trust.listed import TrustedMetadata
from edge_agent.trust.subscription import Visit
from edge_agent.trust.verifier import COMMAND as VERIFY_COMMAND
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
from edge_agent.update.machine import Phase, State, Work, running
from edge_agent.update.store import StateStore
from edge_contract import topics
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.messages import ModelRef
from edge_contract.trust import ListedRelease

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """What an installation says about updates."""

    device: str
    groups: Sequence[str]
    root: bytes
    """The release side's first root metadata."""
    runtime: str
    """What runs models here, such as "litert 2.3.0": a failure is remembered for it."""
    factory: Path | None = None
    """A `.ewm` that runs until a release is pushed."""
    probation_frames: int = 30
    """Frames that prove a new model."""
    selftest_command: Sequence[str] = COMMAND
    """What tests a slot, which is appended."""
    verify_command: Sequence[str] = VERIFY_COMMAND
    """What checks signatures."""


class UpdateWork:
    """Works on one state directory."""

    def __init__(
        self,
        state_dir: Path,
        settings: UpdateSettings,
        *,
        store: StateStore,
        visit: Visit,
        on_activate: Callable[[ActiveModel], None],
        advance: Callable[[Event], None],
        chunk_came: Callable[[str, int, bytes], None],
        test_ended: Callable[[int, Verdict], None],
        monotonic: Callable[[], float],
    ) -> None:
        """`chunk_came` and `test_ended` are called on other threads: they hand on to the updates' thread."""
        self._settings, self._store, self._visit = settings, store, visit
        self._on_activate, self._advance = on_activate, advance
        self._chunk_came, self._test_ended = chunk_came, test_ended
        self._monotonic = monotonic
        self.slots = Slots(state_dir, settings.factory)
        self._parts = state_dir / "parts"
        self.active: ActiveModel | None = None
        """The model that the pipeline has."""
        self._fetch: Fetch | None = None
        self._selftest: SelfTest | None = None
        self._tests = 0
        self.notice = ""
        """What is in the way just now; empty when nothing is."""

    @property
    def downloading(self) -> bool:
        """A download is under way."""
        return self._fetch is not None

    @property
    def progress(self) -> float:
        """Share of the chunks held of the download under way."""
        return self._fetch.progress if self._fetch is not None else 0.0

    def do(self, work: Work, state: State, metadata: TrustedMetadata | None) -> bool:
        """Begin the work of a phase; False when it needs metadata that hold and there are none.

        Raises:
            OSError: the disk refused.
        """
        match work:
            case Work.ACTIVATE:
                self._activate(state)
            case Work.TIDY:
                self._tidy(state)
            case Work.SELFTEST:
                self._begin_selftest(state)
            case Work.WATCH:
                pass  # frames bring the evidence
            case Work.ADMIT | Work.FETCH | Work.STAGE | Work.CONFIRM:
                if metadata is None or state.target is None:
                    return False
                self._advance_with(work, state.target, metadata)
            case _:
                assert_never(work)
        return True

    def run(self, state: State) -> None:
        """Give the pipeline what has to run; what cannot be loaded is reported as an event."""
        slot = running(state)
        try:
            model = self.slots.load(slot) if slot is not None else self.slots.load_factory()
            if model is not None:
                self._hand_over(model)
        except EdgewiseError as error:
            if state.phase is Phase.PROBATION:
                self._advance(Refused(str(error), blame=not isinstance(error, TrustError)))
            elif slot is not None:
                self._advance(Damaged(str(error)))
            else:
                self.notice = f"the factory model cannot be run: {error}"
                _log.error("%s", self.notice)

    def take_chunk(self, digest: str, number: int, payload: bytes) -> None:
        """A chunk arrived.

        Raises:
            OSError: the disk refused.
        """
        if self._fetch is None:
            return
        try:
            taken = self._fetch.arrived(digest, number, payload, self._monotonic())
        except TrustError as error:
            self._advance(Refused(str(error), blame=False))
            return
        if taken is not None:
            self.notice = "" if taken else f"chunk {number} arrived without its digest: refused and asked for again."
        if self._fetch.complete:
            self._advance(Fetched())

    def take_verdict(self, test: int, verdict: Verdict) -> None:
        """A self-test ended; one that was superseded says nothing."""
        if test != self._tests or self._selftest is None:
            return
        _log.info("self-test: %s", verdict)
        if verdict.passed:
            self._advance(SelfTestPassed())
        elif verdict.spoiled:
            self._advance(Spoiled())
        else:
            self._advance(Refused(verdict.reason, blame=verdict.blame))

    def tick(self) -> None:
        """Time passed."""
        if self._fetch is not None:
            self._fetch.tick(self._monotonic())

    def end(self) -> None:
        """The phase is over: stop what it had under way. What a download brought stays on the disk."""
        self.notice = ""
        if self._fetch is not None:
            self._fetch.close()
            self._fetch = None
        if self._selftest is not None:
            self._selftest.cancel()
            self._selftest = None

    def _advance_with(self, work: Work, target: Target, metadata: TrustedMetadata) -> None:
        if work is Work.ADMIT:
            committed = self.active.manifest.digest if self.active is not None else None
            failure = self._store.failure(target.model.digest, self._settings.runtime)
            free = shutil.disk_usage(self._parts.parent).free
            self._advance(admission.admit(target, metadata, running=committed, failure=failure, free=free))
            return
        if work is Work.CONFIRM:
            self._advance(admission.confirm(target, metadata))
            return
        try:
            listed = metadata.release(target.model)
            if work is Work.FETCH:
                self._begin_fetch(target.model, listed)
            else:
                self._stage(target.model, listed)
        except TrustError as error:
            self._advance(Refused(str(error), blame=False))

    def _begin_fetch(self, model: ModelRef, listed: ListedRelease) -> None:
        self._clear_parts(keep={listed.model, listed.file.digest})
        link = self._visit.link(self._monotonic())
        need = topics.device(self._settings.device, "need")
        self._fetch = Fetch(
            self._parts,
            model,
            listed,
            device=self._settings.device,
            link=link,
            deliver=self._chunk_came,
            say_need=lambda payload: link.publish(need, payload, retain=True),
            now=self._monotonic(),
        )
        if self._fetch.complete:
            self._advance(Fetched())

    def _stage(self, model: ModelRef, listed: ListedRelease) -> None:
        release = read_release(self._parts, model, listed)
        if release is None:
            self._advance(Spoiled())
            return
        part = PartFile(self._parts, release.blob)
        missing = part.missing
        part.close(synced=True)
        if missing:
            self._advance(Spoiled())
        else:
            self._advance(Staged(self.slots.stage(part.path, release.manifest)))

    def _begin_selftest(self, state: State) -> None:
        if state.trial is None:
            self._advance(Spoiled())
            return
        self._tests += 1
        self._selftest = SelfTest(
            self.slots.path(state.trial),
            lambda verdict, test=self._tests: self._test_ended(test, verdict),  # type: ignore[misc]
            self._settings.selftest_command,
        )

    def _activate(self, state: State) -> None:
        if state.trial is None:
            self._advance(Refused("the slot to run is not known: refused.", blame=False))
            return
        try:
            model = self.slots.load(state.trial)
            self.slots.point(state.trial, state.committed)
            self._hand_over(model)
        except TrustError as error:
            self._advance(Refused(str(error), blame=False))
        except EdgewiseError as error:
            self._advance(Refused(str(error), blame=True))
        else:
            self._advance(Activated())

    def _hand_over(self, model: ActiveModel) -> None:
        """Give it to the pipeline, whose every objection is the model's refusal."""
        try:
            self._on_activate(model)
        except EdgewiseError:
            raise
        except Exception as error:  # whatever a pipeline raises, the update thread must outlive it
            _log.exception("the pipeline did not take the model")
            raise EdgewiseError(f"the pipeline did not take the model ({type(error).__name__}: {error}).") from error
        self.active = model

    def _tidy(self, state: State) -> None:
        self.slots.point(state.committed, state.previous)
        self.slots.prune((state.committed, state.previous))
        self._clear_parts(keep=set())

    def _clear_parts(self, keep: set[str]) -> None:
        for part in self._parts.glob("*"):
            if part.stem not in keep:
                part.unlink()
