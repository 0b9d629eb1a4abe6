"""What was received and is not stored yet: committed in one transaction, and only then acknowledged.

What the database does not take is kept and tried again while metrics go on; past `UNSAVED` it is dropped, which loses
nothing, because it was not acknowledged and its devices still hold it. One thread uses this.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from edge_bridge.drift.watch import Drift
from edge_bridge.fleet import acknowledgement
from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.state import Changes, FleetState
from edge_bridge.ingest.decoding import Place
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import DELETE_ROWS, Batch, LoggedPrediction, Store, StoreError
from edge_contract import topics
from edge_contract.messages import Ack, encode

UNSAVED: Final = 50_000
"""Predictions kept while the database is away, about 50 MB."""
RETRY_S: Final = 1.0
"""Between two attempts to commit."""
PROBE_S: Final = 5.0
"""An idle bridge writes something small this often, so that readiness is a fact and not a memory."""
RETENTION_S: Final = 60.0
"""Between two retention steps that found little to delete."""

_log = logging.getLogger(__name__)


class Clock(NamedTuple):
    """The two times of a bridge."""

    unix: Callable[[], float]
    """Seconds since 1970."""
    steady: Callable[[], float]
    """Seconds that never go back."""


class Commits:
    """Gathers what one transaction writes, writes it, and acknowledges it to the devices."""

    def __init__(
        self,
        fleet: FleetState,
        store: Store,
        *,
        metrics: BridgeMetrics,
        settings: LogSettings,
        clock: Clock,
        acknowledge: Callable[[Sequence[tuple[str, bytes]]], None],
        progress: dict[str, Progress],
        drift: Drift | None = None,
    ) -> None:
        """`progress`: what the store held at the start; `acknowledge` publishes topics and payloads."""
        self._fleet, self._store, self._metrics, self._settings = fleet, store, metrics, settings
        self._clock, self._acknowledge = clock, acknowledge
        self._drift = drift
        self.progress = progress
        """What is committed, and so acknowledged, by device."""
        self.writable = False
        """Whether the last transaction succeeded."""
        self.complaint = ""
        """Why it did not, with what helps; empty when it did."""
        self._next: dict[str, Progress] = {}
        self._unsaved: list[LoggedPrediction] = []
        self._retry_at = self._probe_at = self._forget_at = 0.0

    def log(self, prediction: LoggedPrediction) -> None:
        """Store it with the next transaction."""
        self._unsaved.append(prediction)

    def arrived(self, device: str, place: Place) -> None:
        """Acknowledge the message at this place once the next transaction is committed."""
        before = self._next.get(device) or self.progress.get(device) or Progress()
        self._next[device] = acknowledgement.advance(before, place.key, place.oldest)

    def commit(self) -> None:
        """Write what is unsaved and changed in one transaction, then acknowledge; keeps all of it when that fails."""
        if self._clock.steady() < self._retry_at:
            return
        changes = self._fleet.take_changes()
        drift = self._drift.take_changes() if self._drift is not None else {}
        if not (self._unsaved or self._next or changes.devices or changes.sums or drift):
            return
        try:
            with self._metrics.commits.time():
                self._store.write(Batch(self._unsaved, self._next, changes.devices, changes.sums, drift))
        except StoreError as error:
            self._put_back(changes, drift)
            self._failed(error)
            if len(self._unsaved) > UNSAVED:
                self.drop()
            return
        except BaseException:
            self._put_back(changes, drift)
            raise
        self._succeeded()
        self._fleet.stored(changes)
        self.progress.update(self._next)
        acks = [
            (topics.device(device, "ack"), encode(Ack(session=each.mark[0], sequence=each.mark[1])))
            for device, each in self._next.items()
        ]
        self._metrics.predictions.inc(len(self._unsaved))
        self._metrics.acknowledged.inc(len(acks))
        self.drop()
        self._acknowledge(acks)

    def _put_back(self, changes: Changes, drift: Iterable[str]) -> None:
        self._fleet.put_back(changes)
        if self._drift is not None:
            self._drift.put_back(drift)

    def drop(self) -> None:
        """Begin anew with nothing. What was not acknowledged is sent again by its devices."""
        self._unsaved, self._next = [], {}

    def keep_house(self) -> None:
        """Prove now and then that the database takes writes, and delete predictions that are past their time."""
        steady, now = self._clock.steady(), self._clock.unix()
        try:
            if steady >= max(self._probe_at, self._retry_at):
                self._store.touch(now)
                self._succeeded()
            if self.writable and steady >= self._forget_at:
                kept = self._settings
                most = kept.retention_mb * 1_000_000 or None
                gone = self._store.forget(now - kept.retention_days * 86400, kept.retention_rows, most)
                self._metrics.forgotten.inc(gone)
                # A full step was not the last: more may come in than one a minute deletes.
                self._forget_at = steady + (RETENTION_S if gone < DELETE_ROWS else PROBE_S)
        except StoreError as error:
            self._failed(error)

    def _failed(self, error: StoreError) -> None:
        if self.writable or self._retry_at == 0.0:
            _log.error("%s Messages are not acknowledged meanwhile, so devices keep them.", error)
        self.writable, self.complaint = False, str(error)
        self._metrics.writable.set(0)
        self._metrics.commit_failures.inc()
        self._retry_at = self._clock.steady() + RETRY_S

    def _succeeded(self) -> None:
        if not self.writable and self._retry_at:
            _log.info("the database takes writes again")
        self.writable, self.complaint = True, ""
        self._metrics.writable.set(1)
        self._probe_at = self._clock.steady() + PROBE_S
