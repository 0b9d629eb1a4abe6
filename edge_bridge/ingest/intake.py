"""From what the broker delivers to the fleet's state and to what is committed: the bridge's one pipeline.

One thread takes bursts from a bounded queue: decode, apply, commit, and only then acknowledge (`decoding`, the fleet's
state, `commit`). No message, whatever its bytes, ends the thread.
"""

import contextlib
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from edge_bridge.drift.watch import Drift
from edge_bridge.fleet.record import key_of
from edge_bridge.fleet.state import DeviceMessage, FleetState, Outcome
from edge_bridge.ingest import decoding
from edge_bridge.ingest.commit import Clock, Commits
from edge_bridge.ingest.decoding import KINDS, RETAINED, Refusal
from edge_bridge.link import Arrival
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import LoggedPrediction
from edge_contract import topics
from edge_contract.messages import Availability, Prediction, Telemetry

QUEUE_BURSTS: Final = 16
"""Bursts that wait, some 16 MB of windows; when full, the link stops reading and TCP holds the broker back."""
GATHER_MESSAGES: Final = 2_000
"""The most messages in one transaction."""
GATHER_S: Final = 0.1
"""How long the first message of a transaction waits for company: an fsync shared by many costs each little."""
BUSY: Final = 50
"""So many within that time show a fleet at work,"""
BUSY_S: Final = 0.5
"""and then the first one waits so long: what is written once for all of a site is shared by more of its devices."""
RECENT: Final = 100
"""Predictions kept in memory for the dashboard."""

_DEVICE: Final = f"{topics.PREFIX}/device/"

_log = logging.getLogger(__name__)


class Intake:
    """The queue and its thread. The link calls `deliver`."""

    def __init__(
        self,
        fleet: FleetState,
        commits: Commits,
        *,
        metrics: BridgeMetrics,
        clock: Clock,
        drift: Drift | None = None,
        on_round: Callable[[float], None] = lambda _now: None,
    ) -> None:
        """`on_round` runs a few times a second with the unix time; `drift` is shown every window of tracks."""
        self._drift = drift
        self._fleet, self._commits, self._metrics, self._clock, self._on_round = (
            fleet,
            commits,
            metrics,
            clock,
            on_round,
        )
        self._queue: queue.Queue[list[Arrival]] = queue.Queue(QUEUE_BURSTS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.recent: deque[LoggedPrediction] = deque(maxlen=RECENT)
        """The newest predictions, newest last; they may not be committed yet."""

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run in the background until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Take in and commit what waits, then end; waits for one transaction at most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def deliver(self, burst: list[Arrival]) -> None:
        """Queue what arrived; blocks while the queue is full, unless the intake is stopping."""
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(burst, timeout=0.5)
                return

    def take_in(self, arrivals: Sequence[Arrival]) -> None:
        """Decode and apply; nothing is stored or acknowledged before the next commit."""
        now = self._clock.unix()
        kinds: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        with self._fleet.together():
            for topic, payload in arrivals:
                kind, refusal = self._take(topic, payload, now)
                kinds[kind] += 1
                if refusal is not None:
                    refused[refusal] += 1
        del kinds[""]
        for kind, count in kinds.items():
            self._metrics.messages.labels(kind).inc(count)
        for reason, count in refused.items():
            self._metrics.refused.labels(reason).inc(count)
        for what, count in self._fleet.passed.items():
            if count:
                self._metrics.passed.labels(what).inc(count)
        self._fleet.passed.clear()
        for device in self._fleet.restless:
            _log.warning(
                "%s changes its model or inventory too often, and each change begins new series: what was accepted "
                "last is shown; look at that device, or raise limits.label_changes",
                device,
            )
        self._fleet.restless.clear()

    def _take(self, topic: str, payload: bytes, now: float) -> tuple[str, Refusal | None]:
        """What kind of message it is, empty for none of ours, and why it is refused."""
        beginning, _, leaf = topic.rpartition("/")
        if (
            leaf in KINDS and (name := beginning.removeprefix(_DEVICE)) in self._fleet.devices
        ):  # known: no need to parse
            return leaf, self._one(name, KINDS[leaf], payload, now)
        match topics.parse(topic):
            case topics.DeviceTopic(device, kind) if kind in KINDS:
                return kind, self._one(device, KINDS[kind], payload, now)
            case topics.GroupStatusTopic(group):
                return "group-status", self._group(group, payload)
            case topics.ReleaseCardTopic(digest):
                return "release-card", self._card(digest, payload)
            case topics.LoopStatusTopic(model):
                return "loop-status", self._loop(model, payload)
        return "", "topic"

    def _one(self, device: str, kind: type[DeviceMessage], payload: bytes, now: float) -> Refusal | None:
        if not payload:
            if kind is Availability:  # `edgewise fleet forget` cleared what the broker held of it
                self._fleet.forget(device)
                if self._drift is not None:
                    self._drift.forget(device)
            return None if kind in RETAINED else "empty"
        message = decoding.read(device, kind, payload)
        if isinstance(message, str):
            if message != "size":
                self._pass_over(device, payload)
            return message
        outcome = self._fleet.apply(device, message, now)
        if outcome is Outcome.REFUSED_DEVICE:
            return "device-limit"  # not acknowledged: the device keeps it until there is room
        if outcome is Outcome.APPLIED and isinstance(message, Telemetry) and self._drift is not None:
            self._judge(self._drift, message)
        if isinstance(message, Prediction):
            logged = LoggedPrediction(message, now)
            self._commits.log(logged)
            self.recent.append(logged)
        if isinstance(message, Prediction | Telemetry):
            self._commits.arrived(device, decoding.place_of(message))
        return "shape" if outcome is Outcome.REFUSED_SHAPE else None

    def _judge(self, drift: Drift, message: Telemetry) -> None:
        """Show drift the tracks of the session that is on, of a model that the device's limits let in."""
        device = self._fleet.devices[message.device]
        known = message.tracks is not None and key_of(message.tracks.model) in device.labels.models
        if known and message.session == device.session:
            drift.observe(message)

    def _group(self, group: str, payload: bytes) -> Refusal | None:
        status = decoding.read_group(group, payload) if payload else None
        if isinstance(status, str):
            return status
        return "group-limit" if self._fleet.take_group(group, status) is Outcome.REFUSED_GROUP else None

    def _loop(self, model: str, payload: bytes) -> Refusal | None:
        status = decoding.read_loop(model, payload) if payload else None
        if isinstance(status, str):
            return status
        return "loop-limit" if self._fleet.take_loop(model, status) is Outcome.REFUSED_LOOP else None

    def _card(self, digest: str, payload: bytes) -> Refusal | None:
        card = decoding.read_card(digest, payload) if payload else None
        if isinstance(card, str):
            return card
        return "card-limit" if self._fleet.take_card(digest, card) is Outcome.REFUSED_CARD else None

    def _pass_over(self, device: str, payload: bytes) -> None:
        """Acknowledge a refused message if its key can be read, else its device would repeat it for ever."""
        place = decoding.place_in(payload) if device in self._fleet.devices else None
        if place is not None:
            self._commits.arrived(device, place)

    def _run(self) -> None:
        while True:
            arrivals = self._gather()
            try:
                if arrivals:
                    self.take_in(arrivals)
                self._commits.commit()
                self._on_round(self._clock.unix())
                self._commits.keep_house()
            except Exception:  # noqa: BLE001  # the thread must not end; what was not acknowledged comes again
                _log.exception("a batch of %d messages failed", len(arrivals))
                self._commits.drop()
            if self._stopping.is_set() and self._queue.empty():
                return

    def _gather(self) -> list[Arrival]:
        arrivals: list[Arrival] = []
        try:
            arrivals += self._queue.get(timeout=0.25)
        except queue.Empty:
            return arrivals
        began = self._clock.steady()
        while len(arrivals) < GATHER_MESSAGES and not self._stopping.is_set():
            until = began + (BUSY_S if len(arrivals) >= BUSY else GATHER_S)
            if (left := until - self._clock.steady()) <= 0:
                break
            with contextlib.suppress(queue.Empty):  # then it is found above that the time is over
                arrivals += self._queue.get(timeout=left)
        return arrivals
