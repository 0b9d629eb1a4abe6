"""From the broker to the database: one thread that checks, stores, commits, and only then answers.

It has an MQTT session of its own, so crops never pass through the fleet's intake or its log. What is received and not
committed waits, and while it waits the broker is held back: nothing is answered that is not on the disk.

Not here: what is checked (`door`), limits and repeats (`crops`).
"""

import contextlib
import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_bridge.labels import crops, door
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.door import Checked, Refused
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.link import Arrival
from edge_bridge.storage.engine import StoreError
from edge_contract import limits, topics
from edge_contract.crop import CropAck, CropName
from edge_contract.messages import encode

FILTERS: Final = (topics.all_devices("crop"),)
QUEUE_BURSTS: Final = 1
"""Bursts that wait beside the one that is worked on: a burst is of 500 messages at most, some 2 MB of usual crops."""
HOUSE_S: Final = 60.0
AGAIN_S: Final = 1.0
"""After a transaction that failed."""
_DAY: Final = 86400.0

_log = logging.getLogger(__name__)

Publish = Callable[[Sequence[tuple[str, bytes]]], None]


class Collector:
    """The queue and its thread; the link calls `deliver`."""

    def __init__(
        self,
        database: LabelDatabase,
        key: X25519PrivateKey,
        settings: LabelSettings,
        clock: Callable[[], float],
        publish: Publish,
    ) -> None:
        """`clock`: seconds since 1970; `publish` sends topics and payloads, from any thread."""
        self._database, self._key, self._settings = database, key, settings
        self._clock, self._publish = clock, publish
        self._queue: queue.Queue[list[Arrival]] = queue.Queue(QUEUE_BURSTS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)
        self._house_kept = clock()
        self.stored = 0
        """Crops committed; one that a device repeats counts again."""
        self.refused: Counter[door.Refusal] = Counter()
        self.complaint = ""
        """Why nothing can be stored, or that there is no room; empty while all is well."""

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run in the background until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Store what waits, then end; what could not be stored is not answered, and comes again."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def deliver(self, burst: list[Arrival]) -> None:
        """Queue what arrived; blocks while the queue is full, unless the collector is stopping."""
        # What is too large is not kept waiting: a byte more than the limit says as much.
        small = [each._replace(payload=each.payload[: limits.CROP_BYTES + 1]) for each in burst]
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(small, timeout=0.5)
                return

    def take_in(self, arrivals: Sequence[Arrival]) -> None:
        """Check, commit, answer.

        Raises:
            StoreError: nothing was committed, counted or answered.
        """
        now = self._clock()
        checked = [door.check(each.topic, each.payload, self._key, now) for each in arrivals]
        good = [each for each in checked if isinstance(each, Checked)]
        refused = [each for each in checked if isinstance(each, Refused)]
        stored: list[crops.Stored] = []
        if good:
            with self._database.transaction() as connection:
                stored = crops.add(connection, good, self._settings, now)
        self.stored += sum(each.refused is None for each in stored)
        self.refused.update([each.reason for each in refused])
        self.refused.update([each.refused for each in stored if each.refused is not None])
        full = any(each.refused == "limit" for each in stored)
        self.complaint = "labels.db is full: export and erase, or raise labels.crops and labels.mb" if full else ""
        self._publish(
            [_answer(each.device, each.name, each.refused) for each in stored]
            + [_answer(each.device, each.name, each.reason) for each in refused if each.name is not None]
        )

    def keep_house(self) -> None:
        """Forget what is past its time.

        Raises:
            StoreError: nothing was forgotten.
        """
        now = self._clock()
        if 0 <= now - self._house_kept < HOUSE_S:
            return
        with self._database.transaction() as connection:
            forgotten = crops.forget(connection, now - self._settings.retention_days * _DAY)
        if forgotten < crops.FORGET_ROWS:  # else at once again
            self._house_kept = now
        if forgotten:
            _log.info("%d crops were kept for labels.retention_days and are deleted", forgotten)
            self._database.empty_log()

    def _run(self) -> None:
        waiting: list[Arrival] = []
        while True:
            try:
                waiting = waiting or self._taken()
                if waiting:
                    self.take_in(waiting)
                waiting = []
                self.keep_house()
            except StoreError as error:
                self._complain(f"crops for labelling wait: {error}")
                self._stopping.wait(AGAIN_S)
            except Exception:  # noqa: BLE001  # the thread must not end; what was not answered comes again
                _log.exception("%d crops could not be taken in", len(waiting))
                waiting = []
            if self._stopping.is_set() and (waiting or self._queue.empty()):
                return

    def _taken(self) -> list[Arrival]:
        with contextlib.suppress(queue.Empty):
            return self._queue.get(timeout=0.25)
        return []

    def _complain(self, text: str) -> None:
        if text != self.complaint:
            _log.warning(text)
        self.complaint = text


def _answer(device: str, name: CropName, refused: door.Refusal | None) -> tuple[str, bytes]:
    reason = "" if refused is None else door.SENTENCES[refused]
    ack = CropAck(session=name.session, sequence=name.sequence, reason=reason)
    return topics.device(device, "crop-ack"), encode(ack)
