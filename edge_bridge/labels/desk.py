"""What the labelling page asks: the next crop, its picture, an answer noted or taken back, and how far it has come.

Calls block for the database; pages make them on a worker thread. Not here: the collector, and how a page looks.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy.engine import Connection

from edge_bridge.labels import annotations, crops, picture, reading
from edge_bridge.labels.annotations import Progress
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.door import answer_of, model_of
from edge_bridge.labels.report import Report
from edge_contract.crop import Guess, key_id, unseal
from edge_contract.errors import MessageError

_TRIES: Final = 20
"""Crops that cannot be opened and are passed over before one answer."""
SHARED_S: Final = 5.0
"""A report is as good for another reader within this time, and for longer where it took long."""
PATIENCE: Final = 20.0
"""Times that it took: working it out, which is a second for some ten thousand labels, takes a twentieth at most."""


class Shown(NamedTuple):
    """A crop to be answered, without its pixels."""

    id: int
    labels: tuple[str, ...]
    """In the order of the model that ran."""
    guesses: tuple[tuple[str, str, float], ...]
    """Of each model: its name, its answer, how sure it is."""


class Desk:
    """One database and the key that opens what is in it. Usable from any thread."""

    def __init__(
        self, database: LabelDatabase, key: X25519PrivateKey, second_share: float, clock: Callable[[], float]
    ) -> None:
        """`second_share`: of crops that are shown to a second person; `clock`: seconds since 1970."""
        self._database, self._key, self._second_share, self._clock = database, key, second_share, clock
        self._key_id = key_id(key.public_key())
        self._lock = threading.Lock()
        self._report: tuple[tuple[int, ...], Report] | None = None
        self._report_until = -1.0

    def next(self, annotator: str) -> Shown | None:
        """What this person is asked of next; None where nothing waits.

        Raises:
            StoreError: the database is away.
        """
        for _ in range(_TRIES):
            with self._database.reading() as connection:
                crop = annotations.next_crop(connection, annotator, self._key_id, self._second_share)
                if crop is None:
                    return None
                shown = self._shown(connection, crop)
            if shown is not None:
                return shown
            with self._database.transaction() as connection:
                crops.put_aside(connection, crop, "it cannot be opened any more")
        return None

    def crop(self, crop: int) -> Shown | None:
        """This crop; None where it is gone or cannot be opened.

        Raises:
            StoreError: the database is away.
        """
        with self._database.reading() as connection:
            return self._shown(connection, crop)

    def picture(self, crop: int) -> bytes | None:
        """Its PNG; None where it is gone or cannot be opened.

        Raises:
            StoreError: the database is away.
        """
        try:
            with self._database.reading() as connection:
                found = crops.opened(connection, crop)
            return None if found is None else picture.png(unseal(found.sealed, found.device, self._key))
        except MessageError:
            return None

    def answer(self, crop: int, annotator: str, answer: Answer, *, shown: bool) -> bool:
        """Note an answer; False where the crop is gone by now, or has no such label.

        Raises:
            StoreError: it was not noted.
        """
        with self._database.transaction() as connection:
            there = self._shown(connection, crop)
            if there is None or (answer.kind == "label" and answer.label not in there.labels):
                return False
            return annotations.add(connection, crop, annotator, answer, self._clock(), shown=shown) is not None

    def take_back(self, annotator: str) -> Shown | None:
        """Take this person's last answer back, and show that crop again; None where there was none.

        Raises:
            StoreError: nothing was taken back.
        """
        with self._database.transaction() as connection:
            crop = annotations.take_back(connection, annotator, self._clock())
            return None if crop is None else self._shown(connection, crop)

    def progress(self, annotator: str) -> Progress:
        """How far it has come.

        Raises:
            StoreError: the database is away.
        """
        with self._database.reading() as connection:
            return annotations.progress(connection, annotator)

    def report(self) -> Report:
        """All that is reported; worked out anew when something has changed, and not more often than every few seconds.

        Raises:
            StoreError: the database is away.
        """
        with self._lock:
            began = time.monotonic()
            if self._report is not None and began < self._report_until:
                return self._report[1]
            with self._database.reading() as connection:
                state = reading.state(connection)
                if self._report is None or self._report[0] != state:
                    self._report = (state, reading.overview(connection))
            ended = time.monotonic()
            self._report_until = ended + max(SHARED_S, PATIENCE * (ended - began))
            return self._report[1]

    def _shown(self, connection: Connection, crop: int) -> Shown | None:
        """What a page needs of a crop, if it can be opened."""
        try:
            found = crops.opened(connection, crop)
            if found is None:
                return None
            unseal(found.sealed, found.device, self._key)
        except MessageError:
            return None
        guesses = [each for each in (found.champion, found.challenger) if each is not None]
        labels = dict.fromkeys(label for each in guesses for label in each.probabilities)
        return Shown(found.id, tuple(labels), tuple(map(_guess, guesses)))


def _guess(guess: Guess) -> tuple[str, str, float]:
    answer = answer_of(guess)
    return model_of(guess), answer, guess.probabilities[answer]
