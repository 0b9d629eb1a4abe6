"""What the release side wants of this device: collected, verified, and accepted where the rules say so.

Verifying takes a child process and seconds, so nothing here waits: `question` says what is to be verified next and
`take` accepts the answer. What arrives meanwhile waits for the next question. What was not answered, or not with
metadata that hold, changes nothing: it is asked again after growing waits, and at once when a new timestamp arrives.
Bytes that were accepted before are known by their digest and cost no process when a broker hands them out again.
A root that names other online keys makes this device forget what the old ones signed; what runs keeps running.
A refusal that may pass is no last word (`refused`): it is asked again when the clock or the keys are others.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from edge_agent.trust import retained_metadata
from edge_agent.trust.clock import SignedTime, TrustedClock
from edge_agent.trust.evidence import KeyIds, OnlineKeys
from edge_agent.trust.listed import TrustedMetadata
from edge_agent.trust.subscription import Subscription
from edge_agent.trust.verifier import Answer, Opened, Sealed
from edge_agent.update.desired import ExpiredError, accept, target_of
from edge_agent.update.events import Target
from edge_agent.update.refused import PassingRefusals
from edge_agent.update.store import StateStore
from edge_contract import limits
from edge_contract.errors import TrustError
from edge_contract.in_force import in_force
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.scope import Scope
from edge_contract.trust import DESIRED_TYPE, DesiredState, read_payload

RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 300.0
_METADATA: Final = "metadata"  # what a notice speaks of, beside the scopes
_PAUSE_S: Final = 0.2  # between two questions
_LONGEST_PAUSE_S: Final = 30.0
"""The pause doubles up to this while nothing that comes is accepted: a flooded topic must not keep this board busy with
starting processes."""

_log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """What is being verified."""

    files: dict[str, bytes]
    envelopes: dict[str, bytes]
    """By scope."""

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """The envelopes, for the verifier."""
        return tuple(Sealed(DESIRED_TYPE, envelope) for envelope in self.envelopes.values())


class DesiredTracker:
    """One device's view of the release side; used by one thread."""

    def __init__(
        self,
        store: StateStore,
        clock: TrustedClock,
        monotonic: Callable[[], float],
        *,
        device: str,
        groups: Sequence[str],
        first_keys: KeyIds = (),
    ) -> None:
        """Begin with what was accepted before the last restart.

        `first_keys`: the online keys of the installation's root, which count as the signers where none are known.
        """
        self._store, self._clock, self._monotonic = store, clock, monotonic
        self._device, self._groups = device, groups
        self.scopes: Final = (str(Scope("device", device)), *(str(Scope("group", group)) for group in groups))
        self._metadata: TrustedMetadata | None = None
        self._accepted, self._seen = store.desired(), store.seen()
        self._signers = {scope: store.signers(scope) or first_keys for scope in self._accepted}
        self._envelopes: dict[str, bytes] = {}
        self._refused = PassingRefusals()
        self._timestamp = ""  # the digest of the last one received
        self._news = False
        self._asked: Asked | None = None
        self._waits_since: float | None = None
        self._wait, self._pause, self._not_before = RETRY_S, _PAUSE_S, 0.0
        self._notices: dict[str, str] = {}

    @property
    def notice(self) -> str:
        """Why the last metadata, or the last desired state of a scope, was not accepted; empty when they were."""
        return next(iter(self._notices.values()), "")

    @property
    def metadata(self) -> TrustedMetadata | None:
        """What the release side vouches for now; None while nothing verified in this run holds."""
        if self._metadata is not None and self._metadata.expires <= self._clock.now():
            return None
        return self._metadata

    @property
    def metadata_end(self) -> float | None:
        """When the first of the metadata that held last in this run ends, or ended, seconds since 1970."""
        return None if self._metadata is None else self._metadata.expires

    @property
    def revision(self) -> int:
        """The highest revision accepted of any scope of this device."""
        return max((state.revision for scope, state in self._accepted.items() if scope in self.scopes), default=0)

    @property
    def pending(self) -> bool:
        """Something arrived that was not verified yet, or could not be."""
        return self._news or bool(self._envelopes)

    @property
    def due(self) -> bool:
        """`question` should be asked for now."""
        return self.pending and self._asked is None and self._monotonic() >= self._not_before

    def receive_envelope(self, scope: str, envelope: bytes) -> None:
        """A desired state arrived; an empty one is not signed and changes nothing."""
        if scope not in self.scopes or not envelope:
            return
        self._refused.drop(scope)
        if len(envelope) > limits.MESSAGE_BYTES:
            self._envelopes.pop(scope, None)
            self._notices[scope] = (
                f"the desired state of {scope} has {len(envelope):,} bytes, more than the {limits.MESSAGE_BYTES:,} it "
                "may have: refused."
            )
            return
        if self._seen.get(scope) == digest_of(envelope):
            self._envelopes.pop(scope, None)  # the broker has the accepted one again, whatever it had in between
            self._notices.pop(scope, None)
            return
        self._envelopes[scope] = envelope
        self._at_once()

    def receive_timestamp(self, payload: bytes) -> None:
        """A timestamp arrived."""
        digest = digest_of(payload)
        news = digest not in {self._timestamp, self._seen.get(_METADATA)}
        self._timestamp = digest
        if news or self._news or _METADATA in self._notices:
            self._news = True
            self._at_once()

    def look_at_clock(self) -> None:
        """Ask again for what had expired, where the clock was set back since; call it now and then."""
        self._ask_again(self._refused.held_by_clock(self._clock.now()))

    def want_metadata(self) -> None:
        """Work waits for metadata that holds."""
        self._news = True

    def question(self, subscription: Subscription) -> Asked | None:
        """What to have verified; None while the broker has not handed out all of it yet."""
        collected: dict[str, bytes] = {}
        if self._news or self.metadata is None:
            now = self._monotonic()
            arriving = subscription.metadata(now)
            self._waits_since = now if self._waits_since is None else self._waits_since
            collected = arriving.held()
            whole = arriving.complete() and self._timestamp in {"", digest_of(collected["timestamp.json"])}
            if not whole and now - self._waits_since < retained_metadata.SILENCE_S:
                return None
        self._waits_since = None
        self._asked = Asked(collected, self._envelopes)
        self._envelopes, self._news = {}, False
        return self._asked

    def unanswered(self, reason: str) -> None:
        """The verifier came to no answer."""
        asked, self._asked = self._asked, None
        if asked is not None:
            self._envelopes = asked.envelopes | self._envelopes
        self._news = True
        self._notices[_METADATA] = reason
        self._not_before = self._monotonic() + self._wait
        self._wait = min(self._wait * 2, LONGEST_RETRY_S)

    def take(self, answer: Answer) -> bool:
        """Accept what may be accepted of what was asked; True when there are new verified metadata."""
        asked, fresh = self._asked, answer.metadata
        if asked is None:
            return False
        self._forget_revoked(answer.online)  # also where the metadata do not hold: the root does
        if fresh is None:
            self.unanswered(answer.refused)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
            return False
        self._ask_again(self._refused.held_by_keys(answer.online))  # before those that these keys judged
        renewed = self._metadata is None or fresh.version != self._metadata.version
        self._metadata = fresh
        self._clock.learn(SignedTime(fresh.issued, fresh.signers))
        timestamp = asked.files.get("timestamp.json")
        with self._store.transaction():
            self._store.save_time(self._clock.signed())
            if timestamp:
                self._store.save_seen(_METADATA, digest_of(timestamp))
        if timestamp:
            self._seen[_METADATA] = digest_of(timestamp)
        self._notices.pop(_METADATA, None)
        accepted = [
            self._take_envelope(scope, envelope, opened)
            for (scope, envelope), opened in zip(asked.envelopes.items(), answer.opened, strict=True)
        ]
        self._asked = None  # only now: what a full disk did not let be kept is asked again
        fruitless = bool(accepted) and not any(accepted) and not renewed
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S) if fruitless else _PAUSE_S
        self._wait, self._not_before = RETRY_S, self._monotonic() + self._pause
        return renewed

    def in_force(self, proven: ModelRef | None) -> Target | None:
        """What this device shall run; None when nothing was ever asked. `proven`: see `target_of`."""
        state = in_force(self._accepted, self._device, self._groups)
        return None if state is None else target_of(state, self._device, proven)

    def _take_envelope(self, scope: str, envelope: bytes, opened: Opened) -> bool:
        """Whether it is accepted."""
        try:
            if opened.refused:
                raise TrustError(opened.refused)
            signed = read_payload(opened.payload, DESIRED_TYPE, DesiredState)
            state = accept(signed, scope, self._accepted.get(scope), now=self._clock.now())
        except TrustError as error:
            self._notices[scope] = str(error)
            if isinstance(error, ExpiredError):
                self._refused.expired(scope, envelope, error.expires)
            elif opened.refused:
                self._refused.unsigned(scope, envelope)
            return False
        seen = digest_of(envelope)
        with self._store.transaction():
            if state is not None:
                self._store.save_desired(state, opened.signers)
            self._store.save_seen(scope, seen)
        # Only now: what a disk did not keep has not been accepted, and is taken as new when it is asked again.
        self._seen[scope] = seen
        if state is not None:
            self._accepted[scope], self._signers[scope] = state, opened.signers
        self._notices.pop(scope, None)
        return True

    def _ask_again(self, envelopes: dict[str, bytes]) -> None:
        if envelopes:
            self._envelopes = envelopes | self._envelopes
            self._at_once()

    def _forget_revoked(self, online: OnlineKeys) -> None:
        """Forget the time, the list and the desired states that were signed by keys which count no longer."""
        if self._metadata is not None and not online.vouch_for(self._metadata.signers):
            self._metadata = None
        scopes = [scope for scope in self._accepted if not online.vouch_for(self._signers.get(scope, ()))]
        clock = self._clock.forget_revoked(online)
        if not scopes and not clock:
            return
        with self._store.transaction():
            self._store.save_time(self._clock.signed())
            for scope in scopes:
                self._store.forget_desired(scope)
        for scope in scopes:
            del self._accepted[scope]
            self._signers.pop(scope, None)
            self._seen.pop(scope, None)
        _log.warning("the online key was replaced: forgot the %s that the old one signed", ", ".join(scopes) or "time")

    def _at_once(self) -> None:
        self._not_before = min(self._not_before, self._monotonic() + self._pause)
        self._wait = RETRY_S
