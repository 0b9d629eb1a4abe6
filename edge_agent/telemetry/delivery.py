"""From the pipeline to the bridge, through the spool, on a thread of its own: an SD card that stalls holds up no frame.

Every message is stored first and sent from the spool, in order, a window at a time; see `spool` and `send_window`. What
can be sent are the two message types below: nothing on this path could carry an image.
"""

import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from edge_agent.mqtt.link import Link
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.send_window import Window
from edge_agent.telemetry.settings import SpoolSettings
from edge_agent.telemetry.spool import Body, Row, Spool
from edge_contract import limits, topics
from edge_contract.errors import MessageError
from edge_contract.messages import Ack, decode
from edge_contract.metrics import DeviceCounter, DeviceGauge

_WAITING: Final = 1000
"""Messages between the pipeline and the spool; more only when the disk hangs, and then they are counted and dropped."""
_HOUSEKEEPING_S: Final = 60.0
_FAILED_S: Final = 1.0
"""After a failure, until the next event is taken: a disk that refuses must not keep the board busy."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Send:
    body: Body
    handed: float
    """When, seconds of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class _Connected:
    pass


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Event = _Send | Ack | _Connected | _Stop


class Delivery:
    """Stores messages, sends them, and deletes them once they are acknowledged."""

    def __init__(
        self,
        spool: Spool,
        link: Link,
        device: str,
        *,
        session: int,
        settings: SpoolSettings,
        meter: Meter,
        clock: Callable[[], float],
    ) -> None:
        """`clock`: seconds that only grow. The spool is this object's from now on."""
        self._spool, self._link, self._meter, self._clock = spool, link, meter, clock
        self._session = session
        self._topics = {kind: topics.device(device, kind) for kind in spool.dropped}
        self._window = Window(settings.window, settings.resend_s)
        self._events: queue.Queue[_Event] = queue.Queue(_WAITING)
        self._handed: dict[int, float] = {}  # sequence → when, for messages that were not sent yet
        self._dropped = 0
        self._connection = 0  # the one that this window belongs to
        self._cleaned = clock()
        self._waiting_since: float | None = None
        self._failing = ""
        self._failed = threading.Event()  # set: wait no longer after a failure
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        link.subscribe(topics.device(device, "ack"), self._acknowledged)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Store what was handed over, send what can be sent now, and close the spool."""
        with contextlib.suppress(queue.Full):  # the disk hangs: what could not be stored is lost
            self._events.put(_Stop(), timeout=timeout)
        self._failed.set()
        self._thread.join(timeout)

    @property
    def trouble(self) -> str:
        """Why nothing is delivered although the broker may be there; empty while it works."""
        ended = self._thread.ident is not None and not self._thread.is_alive()
        return (
            "the thread that delivers messages ended: restart the agent."
            if ended
            else self._failing or self._spool.trouble
        )

    def send(self, body: Body) -> None:
        """Store this message and send it when the broker can be reached; never blocks."""
        try:
            self._events.put_nowait(_Send(body, self._clock()))
        except queue.Full:
            self._dropped += 1

    def connected(self) -> None:
        """The broker is back: send again from the oldest, because what of it arrived is not known. Never blocks."""
        with contextlib.suppress(queue.Full):  # the disk hangs: `_pump` sees the new connection when it goes on
            self._events.put_nowait(_Connected())

    def counters(self) -> Mapping[DeviceCounter, int]:
        """Messages that were dropped since the start."""
        dropped = self._spool.dropped
        return {
            DeviceCounter.SPOOL_DROPPED: dropped["telemetry"] + dropped["prediction"] + self._dropped,
            DeviceCounter.SPOOL_DROPPED_PREDICTIONS: dropped["prediction"],
        }

    def gauges(self) -> Mapping[DeviceGauge, float]:
        """The size of the spool now, and for how long its oldest message has waited."""
        since = self._waiting_since
        return {
            DeviceGauge.SPOOL_BYTES: float(self._spool.bytes),
            DeviceGauge.SPOOL_ROWS: float(self._spool.rows),
            DeviceGauge.ACK_LAG_SECONDS: 0.0 if since is None else max(0.0, self._clock() - since),
        }

    def _acknowledged(self, _topic: str, payload: bytes) -> None:
        try:
            self._events.put_nowait(decode(payload, Ack))
        except MessageError as error:
            self._meter.count(DeviceCounter.ERRORS_ACK)
            _log.warning("an acknowledgement is ignored: %s", error)
        except queue.Full:
            pass  # the disk hangs: the messages are sent again, and acknowledged again; commands are not held up

    def _run(self) -> None:
        try:
            while True:
                try:
                    event = self._events.get(timeout=self._window.next_check(self._clock()))
                except queue.Empty:
                    event = None
                self._guarded(event)
                if isinstance(event, _Stop):
                    return
        finally:
            self._spool.close()

    def _guarded(self, event: _Event | None) -> None:
        """Take one event; whatever it leads to, the next one is taken."""
        try:
            self._take(event)
            self._pump()
            self._waiting_since = self._spool.waiting_since()
            if not isinstance(event, _Stop):
                self._keep_house()
        except Exception as error:  # noqa: BLE001  # the thread must not end: nothing would be delivered any more
            if not self._failing:
                _log.exception("messages cannot be delivered; trying again")
            self._failing = f"messages cannot be delivered ({error}): check the disk."
            self._recover(error)
        else:
            self._failing = ""

    def _recover(self, error: Exception) -> None:
        self._window = self._window.missed()
        self._failed.wait(_FAILED_S)
        if isinstance(error, sqlite3.DatabaseError):
            try:
                self._spool.reopen()
            except (sqlite3.Error, OSError) as refused:
                self._failing = f"the spool cannot be opened again ({refused}): check the disk."

    def _take(self, event: _Event | None) -> None:
        match event:
            case None | _Stop() | _Connected():
                pass
            case _Send(body, handed):
                sequence = self._stored(body)
                if sequence is not None:
                    self._handed[sequence] = handed
            case Ack():
                self._acknowledge(event)
            case _:
                assert_never(event)

    def _stored(self, body: Body) -> int | None:
        try:
            return self._spool.put(body, self._session)
        except (ValueError, OverflowError) as error:  # nothing that JSON can hold
            self._dropped += 1
            _log.warning("a message is dropped: %s", error)
            return None

    def _acknowledge(self, ack: Ack) -> None:
        if self._spool.acknowledge(ack) == 0:
            return
        remaining = self._spool.count_up_to(self._window.sent_to)
        self._window = self._window.acknowledged(remaining, self._clock())
        if remaining and self._spool.oldest()[1] > ack.sequence + 1:
            # What lay between was dropped here. The bridge waits for it until a message brings a newer `oldest`.
            self._window = self._window.restarted()

    def _pump(self) -> None:
        """Send what the window has room for."""
        now = self._clock()
        if self._link.connects != self._connection:
            self._connection, self._window = self._link.connects, self._window.restarted()
        if self._window.overdue(now):
            self._window = self._window.missed()
        if not self._link.connected or not self._window.room:
            return
        for row in self._spool.after(self._window.sent_to, self._window.room):
            if not self._sent(row):
                return
            self._window = self._window.sent(row.key[1], self._clock())

    def _sent(self, row: Row) -> bool:
        """Hand one row to the link; False when it takes none now."""
        handed = self._handed.pop(row.key[1], None)
        try:
            taken = self._publish(row)
        except MessageError as error:
            _log.error("a %s message is dropped: %s", row.kind, error)
            self._spool.refuse(row)
            return True
        if taken and handed is not None:
            self._meter.stage("publish", self._clock() - handed)
        return taken

    def _publish(self, row: Row) -> bool:
        if len(row.payload) > limits.MESSAGE_BYTES:
            raise MessageError(f"its {len(row.payload):,} bytes pass the limit of {limits.MESSAGE_BYTES:,}")
        return self._link.publish(self._topics[row.kind], row.payload)

    def _keep_house(self) -> None:
        now = self._clock()
        if now - self._cleaned >= _HOUSEKEEPING_S:
            self._cleaned = now
            self._spool.expire()
            self._handed = {}  # of messages that waited for a minute: how long the broker was away is no latency
