"""What the release side wants of this device: news collected, metadata refreshed, desired states believed.

Envelopes are kept unread until metadata that holds says whose signature counts. A failed refresh changes nothing: it
is tried again after growing waits, and at once when a new timestamp arrives.
"""

from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.metadata import RetainedFetcher, Trust, TrustedMetadata
from edge_agent.state import StateStore
from edge_agent.trusted_time import TrustedClock
from edge_agent.update_machine import Target
from edge_agent.wishes import accept, in_force
from edge_contract import limits
from edge_contract.errors import EdgewiseError, TrustError

RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 300.0
_METADATA: Final = "metadata"  # what a notice speaks of, beside the scopes
_PAUSE_S: Final = 0.2  # between two refreshes: whoever floods a topic must not keep this board busy


class Orders:
    """One device's view of the release side; used by one thread."""

    def __init__(
        self,
        trust: Trust,
        store: StateStore,
        clock: TrustedClock,
        monotonic: Callable[[], float],
        *,
        device: str,
        groups: Sequence[str],
    ) -> None:
        """Begin with what was verified before the last restart, where it still holds."""
        self._trust, self._store, self._clock, self._monotonic = trust, store, clock, monotonic
        self._device, self._groups = device, groups
        self.scopes: Final = (f"device/{device}", *(f"group/{group}" for group in groups))
        self._metadata = trust.kept()
        self._believed = store.desired()
        self._envelopes: dict[str, bytes] = {}
        self._news = False
        self._wait, self._not_before = RETRY_S, 0.0
        self._notices: dict[str, str] = {}

    @property
    def notice(self) -> str:
        """Why the last metadata, or the last desired state of a scope, was not believed; empty when they were."""
        return next(iter(self._notices.values()), "")

    @property
    def metadata(self) -> TrustedMetadata | None:
        """What the release side vouches for now; None while nothing verified holds."""
        if self._metadata is not None and self._metadata.expires <= self._clock.now():
            return None
        return self._metadata

    @property
    def revision(self) -> int:
        """The highest revision believed of any scope of this device."""
        return max((state.revision for scope, state in self._believed.items() if scope in self.scopes), default=0)

    @property
    def pending(self) -> bool:
        """There is news that nobody has looked at, or that could not be believed yet."""
        return self._news or bool(self._envelopes)

    @property
    def due(self) -> bool:
        """`consider` should be called now."""
        return self.pending and self._monotonic() >= self._not_before

    def hear_envelope(self, scope: str, envelope: bytes) -> None:
        """A desired state arrived; an empty one says nothing, for it is not signed."""
        if scope in self.scopes and 0 < len(envelope) <= limits.MESSAGE_BYTES:
            self._envelopes[scope] = envelope
            self._at_once()

    def hear_timestamp(self) -> None:
        """A timestamp arrived that was not seen before."""
        self._news = True
        self._at_once()

    def want_metadata(self) -> None:
        """Work waits for metadata that holds."""
        self._news = True

    def consider(self, fetcher: RetainedFetcher) -> bool:
        """Refresh what is old and read what arrived; True when there are new verified metadata. Blocks for seconds."""
        renewed = False
        if self._news or self.metadata is None:
            try:
                fresh = self._trust.refresh(fetcher)
            except EdgewiseError as error:
                self._notices[_METADATA] = str(error)
                self._not_before = self._monotonic() + self._wait
                self._wait = min(self._wait * 2, LONGEST_RETRY_S)
                return False
            renewed = self._metadata is None or fresh.version != self._metadata.version
            self._metadata, self._news = fresh, False
            self._store.save_time(self._clock.worth_keeping(fresh.expires))
        self._notices.pop(_METADATA, None)
        self._wait, self._not_before = RETRY_S, self._monotonic() + _PAUSE_S
        envelopes, self._envelopes = self._envelopes, {}
        for scope, envelope in envelopes.items():
            self._notices.pop(scope, None)
            try:
                self._believe(scope, envelope)
            except TrustError as error:
                self._notices[scope] = str(error)
        return renewed

    def in_force(self) -> Target | None:
        """What this device shall run; None when nothing was ever asked."""
        state = in_force(self._believed, self._device, self._groups)
        return None if state is None else Target(model=state.model, scope=state.scope, revision=state.revision)

    def _believe(self, scope: str, envelope: bytes) -> None:
        state = accept(
            envelope,
            scope,
            self._believed.get(scope),
            keys=self._trust.online_keys,
            threshold=self._trust.online_threshold,
            now=self._clock.now(),
        )
        if state is not None:
            with self._store.transaction():
                self._store.save_desired(state)
            self._believed[scope] = state

    def _at_once(self) -> None:
        self._not_before = min(self._not_before, self._monotonic() + _PAUSE_S)
        self._wait = RETRY_S
