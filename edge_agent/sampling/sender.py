"""From the pipeline to where labels are collected, on a thread of its own: seal, store, send, delete when answered.

The one place of the agent that turns pixels into bytes for the wire, and it seals them before anything else is done
with them. When the consent is over, everything that waits is deleted, what was handed over and not sealed yet with it;
what a broker has by then is refused where labels are collected, if it was taken too late.

Not here: which faces (`sampler`), whether they may be kept (`consent`), the database (`box`).
"""

import contextlib
import logging
import queue
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from edge_agent.mqtt.link import Link
from edge_agent.sampling import erasure
from edge_agent.sampling.box import Box
from edge_agent.sampling.consent import Permission, mark
from edge_agent.sampling.sampler import Pick
from edge_agent.sampling.sealing import Origin, sealed
from edge_agent.sampling.window import Window
from edge_contract import topics
from edge_contract.crop import CropAck, CropName, Stratum
from edge_contract.errors import MessageError
from edge_contract.messages import decode
from edge_contract.metrics import DeviceCounter
from edge_contract.visible import visible

_WAITING: Final = 64
"""Crops and answers between other threads and this one; more only when the disk hangs."""
_LOOK_S: Final = 1.0
"""How often the consent is looked at while nothing comes."""
_FAILED_S: Final = 1.0
_COUNTERS: Final[Mapping[Stratum, DeviceCounter]] = {
    "random": DeviceCounter.CROPS_RANDOM,
    "uncertain": DeviceCounter.CROPS_UNCERTAIN,
    "disagreement": DeviceCounter.CROPS_DISAGREEMENT,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Connected:
    pass


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Event = Pick | CropAck | _Connected | _Stop


class CropSender:
    """Stores crops, sends them, and deletes them once they are answered."""

    def __init__(
        self,
        box: Box,
        state_dir: Path,
        link: Link,
        key: X25519PublicKey,
        origin: Origin,
        permission: Permission,
        clock: Callable[[], float],
    ) -> None:
        """`clock`: seconds that only grow. The box, of `state_dir`, is this object's from now on.

        Raises:
            sqlite3.Error: the disk refuses.
        """
        self._box, self._state_dir, self._link, self._key = box, state_dir, link, key
        self._origin, self._permission, self._clock = origin, permission, clock
        self._topic = topics.device(origin.device, "crop")
        self._window, self._connection = Window(), 0
        self._events: queue.Queue[_Event] = queue.Queue(_WAITING)
        self._kept: Counter[DeviceCounter] = Counter(dict.fromkeys(_COUNTERS.values(), 0))
        self._lost, self._refused, self._lost_here = 0, 0, 0
        self._sequence = box.last(origin.session)
        self._failing = ""
        self._erased = False
        self._reasons: set[str] = set()  # of refusals, that were logged
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crops", daemon=True)
        link.subscribe(topics.device(origin.device, "crop-ack"), self._answered)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Store what was handed over, and close the box."""
        with contextlib.suppress(queue.Full):
            self._events.put(_Stop(), timeout=timeout)
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def trouble(self) -> str:
        """Why crops are not kept or sent although they may be; empty while they are."""
        if self._erased:
            return ""
        ended = self._thread.ident is not None and not self._thread.is_alive() and not self._ending.is_set()
        return "the thread that sends crops ended: restart the agent." if ended else self._failing

    @property
    def held(self) -> int:
        """Bytes of crops on disk."""
        return self._box.bytes

    def send(self, pick: Pick) -> None:
        """Seal, store and send this face; never blocks."""
        if self._erased:
            return
        try:
            self._events.put_nowait(pick)
        except queue.Full:
            self._lost += 1

    def connected(self) -> None:
        """The broker is back: what of the last connection arrived is not known."""
        with contextlib.suppress(queue.Full):  # full of crops: `_pump` sees the new connection by itself
            self._events.put_nowait(_Connected())

    def counters(self) -> Mapping[DeviceCounter, int]:
        """Crops kept by stratum, and those that were lost."""
        lost = self._lost + self._lost_here + self._refused + self._box.dropped
        return {**self._kept, DeviceCounter.CROPS_DROPPED: lost}

    def _answered(self, _topic: str, payload: bytes) -> None:
        try:
            self._events.put_nowait(decode(payload, CropAck))
        except MessageError as error:
            _log.warning("an answer to a crop is ignored: %s", error)
        except queue.Full:
            pass  # the crop is sent again, and answered again

    def _run(self) -> None:
        try:
            while not self._erased:
                event = None
                with contextlib.suppress(queue.Empty):
                    event = self._events.get(timeout=min(_LOOK_S, self._window.next_check(self._clock())))
                self._guarded(event)
                if isinstance(event, _Stop):
                    return
        finally:
            self._box.close()

    def _guarded(self, event: _Event | None) -> None:
        """Take one event; whatever it leads to, the next one is taken."""
        try:
            if reason := self._permission.over:
                self._erase(event, reason)
                return
            self._take(event)
            self._pump()
        except Exception as error:  # noqa: BLE001  # the thread must not end: nothing would be erased any more
            if not self._failing:
                _log.exception("crops cannot be kept or sent; trying again")
            self._failing = f"crops for labelling cannot be kept or sent ({error}): check the disk."
            self._ending.wait(_FAILED_S)
            self._recover(error)
        else:
            self._failing = ""

    def _recover(self, error: Exception) -> None:
        """A database that is damaged is put aside, and a new one begun."""
        self._window = self._window.missed()
        if isinstance(error, sqlite3.DatabaseError):
            with contextlib.suppress(sqlite3.Error, OSError):  # the next crop says so again
                self._box.reopen()

    def _erase(self, event: _Event | None, reason: str) -> None:
        """Delete all that waits, here and on disk; tried again until the disk lets go."""
        waiting: list[_Event | None] = [event]
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self._events.get_nowait())
        self._lost_here += sum(isinstance(each, Pick) for each in waiting)
        rows = self._box.rows
        self._box.close()
        erasure.erase(self._state_dir)
        self._lost_here += rows
        self._erased = True
        _log.warning(
            "no face is sampled for labelling any more: the consent of %s is over, %s; %d crops that waited are gone",
            visible(self._permission.consent.by), reason, rows,
        )  # fmt: skip

    def _take(self, event: _Event | None) -> None:
        match event:
            case None | _Stop() | _Connected():
                pass
            case Pick():
                self._keep(event)
            case CropAck():
                self._take_answer(event)
            case _:
                assert_never(event)

    def _keep(self, pick: Pick) -> None:
        """Seal a face and store it, if it may be kept; a disk that refuses loses this one and is said once."""
        if self._permission.take() is None:
            self._lost_here += 1
            return
        consent = self._permission.consent
        name = CropName(self._origin.session, self._sequence + 1)
        try:
            payload = sealed(pick, name, self._origin, consent, self._key)
            self._box.put(name, pick.stratum, mark(consent), payload, pick.taken)
        except MessageError as error:
            self._lost_here += 1
            _log.warning("a crop is dropped: %s", error)
        except sqlite3.Error:
            self._lost_here += 1
            raise
        else:
            self._sequence = name.sequence
            self._kept[_COUNTERS[pick.stratum]] += 1

    def _take_answer(self, answer: CropAck) -> None:
        name = CropName(answer.session, answer.sequence)
        if not self._box.remove(name):
            return
        self._window = self._window.answered(name, self._clock())
        if answer.reason:
            self._refused += 1
            if answer.reason not in self._reasons and len(self._reasons) < _WAITING:
                self._reasons.add(answer.reason)
                _log.warning("crops are refused where labels are collected: %s", visible(answer.reason))

    def _pump(self) -> None:
        """Send what the window has room for, while the consent stands."""
        now = self._clock()
        if self._link.connects != self._connection:
            self._connection, self._window = self._link.connects, self._window.restarted()
        if self._window.overdue(now):
            self._window = self._window.missed()
        if not self._link.connected or not self._window.room or self._permission.standing() != "in force":
            return
        for row in self._box.waiting(self._window.sent, self._window.room):
            if not self._sent(row.name, row.payload):
                return

    def _sent(self, name: CropName, payload: bytes) -> bool:
        """Hand one crop to the link; False when it takes none now."""
        try:
            taken = self._link.publish(self._topic, payload)
        except MessageError as error:  # the broker takes no packet of that size: it would hold back all behind it
            _log.error("a crop is dropped: %s", error)
            self._lost_here += int(self._box.remove(name))
            return True
        if taken:
            self._window = self._window.one_more(name, self._clock())
        return taken
