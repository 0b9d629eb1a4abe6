"""From bytes of the broker to the fleet's state, the prediction log and acknowledgements: the bridge's one pipeline.

One thread takes bursts from a bounded queue, decodes, applies, commits, and only then acknowledges. What the database
does not take is kept and tried again while metrics go on; past `UNSAVED` it is let go, which loses nothing, because
it was not acknowledged and its devices still hold it. No message, whatever its bytes, ends the thread.
"""

import contextlib
import functools
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from edge_bridge.fleet import acknowledgement
from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.state import DeviceMessage, FleetState, Outcome
from edge_bridge.link import Arrival
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.settings import LogSettings
from edge_bridge.storage.store import Batch, LoggedPrediction, Store, StoreError
from edge_contract import limits, topics
from edge_contract.errors import MessageError
from edge_contract.messages import Ack, Availability, Info, Key, Prediction, Reported, Telemetry, decode, encode

KINDS: Final[dict[str, type[DeviceMessage]]] = {
    "availability": Availability,
    "info": Info,
    "reported": Reported,
    "telemetry": Telemetry,
    "prediction": Prediction,
}
RETAINED: Final = (Availability, Info, Reported)
"""What the broker holds, and somebody may clear there with an empty message."""
FILTERS: Final = tuple(
    topics.all_devices(leaf) for leaf in ("availability", "info", "reported", "telemetry", "prediction")
)
"""What the bridge subscribes to."""
QUEUE_BURSTS: Final = 64
"""Bursts that wait; when full, the link stops reading and TCP holds the broker back."""
GATHER_MESSAGES: Final = 2_000
"""The most messages in one transaction."""
GATHER_S: Final = 0.1
"""How long the first message of a transaction waits for company: an fsync shared by many costs each little."""
UNSAVED: Final = 50_000
"""Predictions kept while the database is away, about 50 MB."""
RETRY_S: Final = 1.0
"""Between two attempts to commit."""
PROBE_S: Final = 5.0
"""An idle bridge writes something small this often, so that readiness is a fact and not a memory."""
RETENTION_S: Final = 60.0
"""Between two retention steps."""
RECENT: Final = 100
"""Predictions kept in memory for the dashboard."""

Refusal = Literal["topic", "empty", "size", "malformed", "device-mismatch", "device-limit", "shape"]

_log = logging.getLogger(__name__)


class _Envelope(msgspec.Struct):
    """What can still be read of a message that is refused: enough to acknowledge it."""

    session: int
    sequence: int
    oldest: tuple[int, int]


class Clock(NamedTuple):
    """The times a pipeline needs."""

    unix: Callable[[], float]
    """Seconds since 1970."""
    steady: Callable[[], float]
    """Seconds that never go back."""


class Intake:
    """See the module. `deliver` is the link's; the rest is the process'."""

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
        on_round: Callable[[float], None] = lambda _now: None,
    ) -> None:
        """`progress` is what the store remembered; `on_round` runs a few times a second with the unix time."""
        self._fleet, self._store, self._metrics, self._settings = fleet, store, metrics, settings
        self._clock, self._acknowledge, self._on_round = clock, acknowledge, on_round
        self.progress = progress
        """What is committed, and so acknowledged, by device; only the pipeline's thread changes it."""
        self._next: dict[str, Progress] = {}
        self._unsaved: list[LoggedPrediction] = []
        self._queue: queue.Queue[list[Arrival]] = queue.Queue(QUEUE_BURSTS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._retry_at = self._probe_at = self._forget_at = 0.0
        self._parse = functools.lru_cache(maxsize=65_536)(topics.parse)
        self.recent: deque[LoggedPrediction] = deque(maxlen=RECENT)
        """The newest predictions, newest last; they may not be committed yet."""
        self.writable = False
        """Whether the last transaction succeeded."""

    @property
    def alive(self) -> bool:
        """Whether the pipeline still runs."""
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
        """Queue what arrived; blocks while the queue is full, unless the pipeline is stopping."""
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(burst, timeout=0.5)
                return

    def _run(self) -> None:
        while True:
            arrivals = self._gather()
            try:
                if arrivals:
                    self.take_in(arrivals)
                self.commit()
                self._housekeep()
            except Exception:  # noqa: BLE001  # the pipeline must not end; what was not acknowledged comes again
                _log.exception("a batch of %d messages failed", len(arrivals))
                self._let_go()
            if self._stopping.is_set() and self._queue.empty():
                return

    def _gather(self) -> list[Arrival]:
        arrivals: list[Arrival] = []
        try:
            arrivals += self._queue.get(timeout=0.25)
        except queue.Empty:
            return arrivals
        until = self._clock.steady() + GATHER_S
        while len(arrivals) < GATHER_MESSAGES and (left := until - self._clock.steady()) > 0:
            try:
                arrivals += self._queue.get(timeout=left)
            except queue.Empty:
                break
        return arrivals

    def take_in(self, arrivals: Sequence[Arrival]) -> None:
        """Decode and apply; nothing is stored or acknowledged before `commit`."""
        now = self._clock.unix()
        kinds: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        for topic, payload in arrivals:
            parsed = self._parse(topic)
            if not isinstance(parsed, topics.DeviceTopic) or parsed.leaf not in KINDS:
                refused["topic"] += 1
                continue
            refusal = self._one(parsed.device, KINDS[parsed.leaf], payload, now)
            kinds[parsed.leaf] += 1
            if refusal is not None:
                refused[refusal] += 1
        for kind, count in kinds.items():
            self._metrics.messages.labels(kind).inc(count)
        for reason, count in refused.items():
            self._metrics.refused.labels(reason).inc(count)

    def _one(self, device: str, kind: type[DeviceMessage], payload: bytes, now: float) -> Refusal | None:
        if not payload:
            if kind is Availability:  # `edgewise fleet forget` cleared what the broker held of it
                self._fleet.forget(device)
            return None if kind in RETAINED else "empty"
        if len(payload) > limits.MESSAGE_BYTES:
            return "size"
        try:
            message: DeviceMessage = decode(payload, kind)
        except MessageError as error:
            _log.debug("%s: %s", device, error)
            self._pass_over(device, payload)
            return "malformed"
        if getattr(message, "device", device) != device:
            self._pass_over(device, payload)
            return "device-mismatch"
        if isinstance(message, Prediction) and "\0" in message.label:  # PostgreSQL's text cannot hold it
            self._pass_over(device, payload)
            return "malformed"
        outcome = self._fleet.apply(device, message, now)
        if outcome is Outcome.REFUSED_DEVICE:
            return "device-limit"  # not acknowledged: the device keeps it until there is room
        if isinstance(message, Prediction):
            logged = LoggedPrediction(message, now)
            self._unsaved.append(logged)
            self.recent.append(logged)
        if isinstance(message, Prediction | Telemetry):
            self._arrived(device, (message.session, message.sequence), message.oldest)
        return "shape" if outcome is Outcome.REFUSED_SHAPE else None

    def _pass_over(self, device: str, payload: bytes) -> None:
        """Acknowledge a refused message if its key can be read, else its device would repeat it for ever."""
        if device not in self._fleet.devices:
            return
        with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
            envelope = msgspec.json.decode(payload, type=_Envelope)
            if min(envelope.session, envelope.sequence, *envelope.oldest) >= 0:
                self._arrived(device, (envelope.session, envelope.sequence), envelope.oldest)

    def _arrived(self, device: str, key: Key, oldest: Key) -> None:
        before = self._next.get(device) or self.progress.get(device) or Progress()
        self._next[device] = acknowledgement.advance(before, key, oldest)

    def commit(self) -> None:
        """Write what is unsaved and changed in one transaction, then acknowledge; keeps all of it when that fails."""
        steady = self._clock.steady()
        if steady < self._retry_at:
            return
        changes = self._fleet.take_changes()
        if not (self._unsaved or self._next or changes.devices or changes.sums):
            return
        try:
            with self._metrics.commits.time():
                self._store.write(Batch(self._unsaved, self._next, changes.devices, changes.sums))
        except StoreError as error:
            self._fleet.put_back(changes)
            self._failed(error)
            if len(self._unsaved) > UNSAVED:
                self._let_go()
            return
        except BaseException:
            self._fleet.put_back(changes)
            raise
        self._succeeded()
        self.progress.update(self._next)
        acks = [
            (topics.device(device, "ack"), encode(Ack(session=each.mark[0], sequence=each.mark[1])))
            for device, each in self._next.items()
        ]
        self._metrics.predictions.inc(len(self._unsaved))
        self._unsaved, self._next = [], {}
        self._metrics.acknowledged.inc(len(acks))
        self._acknowledge(acks)

    def _let_go(self) -> None:
        """Forget what could not be stored: its devices hold it, and will say it again."""
        self._unsaved, self._next = [], {}

    def _failed(self, error: StoreError) -> None:
        if self.writable or self._retry_at == 0.0:
            _log.error("%s Messages are not acknowledged meanwhile, so devices keep them.", error)
        self.writable = False
        self._metrics.writable.set(0)
        self._metrics.commit_failures.inc()
        self._retry_at = self._clock.steady() + RETRY_S

    def _succeeded(self) -> None:
        if not self.writable and self._retry_at:
            _log.info("the database takes writes again")
        self.writable = True
        self._metrics.writable.set(1)
        self._probe_at = self._clock.steady() + PROBE_S

    def _housekeep(self) -> None:
        steady, now = self._clock.steady(), self._clock.unix()
        self._on_round(now)
        try:
            if steady >= max(self._probe_at, self._retry_at):
                self._store.touch(now)
                self._succeeded()
            if self.writable and steady >= self._forget_at:
                self._forget_at = steady + RETENTION_S
                before = now - self._settings.retention_days * 86400
                self._metrics.forgotten.inc(self._store.forget(before, self._settings.retention_rows))
        except StoreError as error:
            self._failed(error)
