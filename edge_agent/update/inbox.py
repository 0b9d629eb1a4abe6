"""The queue of the updates' thread: what the link, the verifier, the self-test and the commands bring, in order.

It is short, for chunks of 64 KiB stand in it: a thread that brings more than is taken waits, until `close`.
"""

import queue
import threading
from contextlib import suppress
from typing import Final, NamedTuple

from edge_agent.models.selftest import Verdict
from edge_agent.trust.verifier import Answer, UnansweredError
from edge_agent.update.events import RollbackAsked

_LONGEST: Final = 64


class Envelope(NamedTuple):
    """A desired state, unread."""

    scope: str
    payload: bytes


class Timestamp(NamedTuple):
    """The newest metadata of all, unread."""

    payload: bytes


class MetadataArrived(NamedTuple):
    """A metadata file arrived, which the subscription keeps: look whether it was what is waited for."""


class Verified(NamedTuple):
    """The verifier's answer, or that there is none."""

    answer: Answer | UnansweredError


class Chunk(NamedTuple):
    """A piece of a blob, unread."""

    digest: str
    number: int
    payload: bytes


class Tested(NamedTuple):
    """A self-test ended."""

    test: int
    verdict: Verdict


Item = Envelope | Timestamp | MetadataArrived | Verified | Chunk | Tested | RollbackAsked


class Inbox:
    """A queue that can be closed."""

    def __init__(self) -> None:
        self._items: queue.Queue[Item] = queue.Queue(_LONGEST)
        self.closed = threading.Event()

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return self._items.empty()

    def put(self, item: Item) -> None:
        """Append, from any thread; waits while it is full."""
        while not self.closed.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=0.2)
                return

    def get(self, patience: float) -> Item | None:
        """The next, or None when none comes within so many seconds."""
        try:
            return self._items.get(timeout=patience)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Take nothing any more, and wake the thread that waits in `get`."""
        self.closed.set()
        with suppress(queue.Full):
            self._items.put_nowait(MetadataArrived())
